"""The parent namespace P: one user namespace a user and node, of which every container's is a child (DESIGN section 5).

Theory of operation. No process keeps P: any process in it or in a child of it pins it. The runtime directory's `parent` folder has
one empty file a process that pins it, named `PID-STARTTIME`; a look-up opens the first that lives, takes the user namespace of that
process, or its parent, whichever is a child of ours, and drops the files of the dead. Where the folder is missing (a first
start, or somebody removed the runtime directory) /proc is searched once. P is made under an exclusive lock on the folder:

    maker                                child
    flock(parent/)
    fork ------------------------------> unshare(NEWUSER)
         <---------- one byte ----------
    newuidmap, newgidmap (or one ID)
    adds the child's file
    unlock; --------- one byte --------> goes on as P's root

A look-up takes the lock shared. A starting container's outer stage keeps it until it has joined P and added its own file, and
lives until the container's init has executed its command: before, init is closed to us. One that stays above the command (--init)
is closed for good: a child of it leads to P then. So at any time some file leads to P, and no second one is made.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from typing import NoReturn

from rootless.errors import NodeLacks, RlError, os_error_text
from rootless.linux import namespaces
from rootless.linux.process import ProcessId, identify, is_alive
from rootless.locations import make_private_folder
from rootless.namespaces.idmap import IdMaps, default_maps, identity_of, read_map

_FOLDER = "parent"
_PATIENCE = 0.2  # seconds: more than a start takes from the fork of init to its execve; some programs stay closed for good


def fork_into_parent(
    runtime_dir: str, body: Callable[[], None], *, keep_groups: bool = False, member: bool = False, parent: int | None = None
) -> int:
    """Fork a child that runs `body` as root of the user's parent namespace, making that where there is none.

    With `member` the child is noted, for `remove_member`, and with `keep_groups` it has our supplementary groups still. `parent`, a
    descriptor of the namespace, saves the search. Returns the child's PID; the child ends by os._exit with 0, or 1 after an
    exception of `body`, which must report its own errors.

    Raises `NodeLacks` when the node does not permit a user namespace. The caller must be single-threaded.
    """
    existing = None if parent is None else os.dup(parent)
    try:
        folder = os.open(f"{runtime_dir}/{_FOLDER}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        existing = _find_by_searching(runtime_dir) if existing is None else existing
        folder = _open_folder(runtime_dir)
    try:
        fcntl.flock(folder, fcntl.LOCK_SH)
        if existing is None:
            existing = _find_by_members(folder)
        if existing is None:
            fcntl.flock(folder, fcntl.LOCK_EX)
            existing = _find_by_members(folder)  # somebody may have made it while we waited
        if existing is None:
            return _fork_making(folder, body, keep_groups)
        return _fork_joining(folder, existing, body, keep_groups=keep_groups, member=member)
    finally:
        os.close(folder)
        if existing is not None:
            os.close(existing)


def add_member(runtime_dir: str, process: ProcessId) -> None:
    """Note that `process` lives in the parent namespace or a child of it, and so pins it."""
    folder = _open_folder(runtime_dir)
    try:
        _write_member(folder, process)
    finally:
        os.close(folder)


def remove_member(runtime_dir: str, process: ProcessId) -> None:
    """Forget a process that has ended."""
    with contextlib.suppress(FileNotFoundError):  # a look-up may have dropped it, or the runtime directory is gone
        os.unlink(f"{runtime_dir}/{_FOLDER}/{process.pid}-{process.start_time}")


def _open_folder(runtime_dir: str) -> int:
    make_private_folder(runtime_dir)
    path = f"{runtime_dir}/{_FOLDER}"
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _write_member(folder: int, process: ProcessId) -> None:
    os.close(os.open(f"{process.pid}-{process.start_time}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=folder))


def _find_by_members(folder: int) -> int | None:
    """Look through the members; waits for those that are closed to us, because they are about to execute their command."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return _look_through_members(folder)
        except PermissionError:
            if time.monotonic() >= deadline:
                return None
            time.sleep(0.001)


def _look_through_members(folder: int) -> int | None:
    """Return the parent namespace that a member pins, or None. Raises `PermissionError` where only closed ones are left."""
    closed: PermissionError | None = None
    for process in _live_members(folder):
        try:
            found = _parent_through(process)
        except PermissionError as error:
            closed = error
            found = _parent_through_children(process)
        if found is not None:
            return found
    if closed is not None:
        raise closed
    return None


def _parent_through_children(process: ProcessId) -> int | None:
    """Return the parent namespace that a child of a closed member pins: with --init, the command below the init."""
    try:
        with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as file:
            children = file.read().split()
    except (FileNotFoundError, ProcessLookupError):  # it has just ended; or the kernel was built without CONFIG_PROC_CHILDREN
        return None
    for child in children:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # ended; or about to execute: there may be another
            found = _parent_through(identify(int(child)))
            if found is not None:
                return found
    return None


def _live_members(folder: int) -> Iterator[ProcessId]:
    """Yield the members that live, and drop the files of the others."""
    for name in os.listdir(folder):
        pid, _, start_time = name.partition("-")
        process = ProcessId(int(pid), int(start_time)) if pid.isdecimal() and start_time.isdecimal() else None
        if process is not None and is_alive(process):
            yield process
        else:
            with contextlib.suppress(FileNotFoundError):  # another look-up was faster
                os.unlink(name, dir_fd=folder)


def _find_by_searching(runtime_dir: str) -> int | None:
    for process in _own_processes():
        try:
            found = _parent_through(process)
        except PermissionError:
            continue  # closed to us
        if found is not None:
            add_member(runtime_dir, process)
            return found
    _close_quietly(_open_folder(runtime_dir))
    return None


def _own_processes() -> Iterator[ProcessId]:
    """Yield the processes of the node whose user namespace is not ours."""
    own = os.stat("/proc/self/ns/user").st_ino
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                if os.stat(f"/proc/{name}/ns/user").st_ino != own:
                    yield identify(int(name))
            except (PermissionError, FileNotFoundError, ProcessLookupError):
                continue  # another user's, or just ended


def _parent_through(process: ProcessId) -> int | None:
    """Return a descriptor of the parent namespace that `process` pins, if it does pin one with the map of today.

    Raises `PermissionError` for a process that is closed to us, as an init is until it executes its command.
    """
    try:
        candidate = namespaces.open_namespace(process.pid, namespaces.NEWUSER)
    except (FileNotFoundError, ProcessLookupError):
        return None
    own = os.stat("/proc/self/ns/user").st_ino
    for _level in range(8):
        try:
            above = namespaces.parent_of(candidate)
        except OSError:  # EPERM: beyond our own namespace, so not a descendant of it
            break
        if os.fstat(above).st_ino == own:
            os.close(above)
            if namespaces.owner_of(candidate) == os.geteuid() and _has_default_map(process):
                return candidate
            break
        os.close(candidate)
        candidate = above
    os.close(candidate)
    return None


def _has_default_map(process: ProcessId) -> bool:
    """Tell whether a live process's IDs are of the default map, which may have changed since its namespace was made.

    Read from here, the map of a child namespace shows the IDs that its parent's have outside. A container with other maps has a
    part of them, in another order.
    """
    try:
        maps = IdMaps(read_map(f"/proc/{process.pid}/uid_map"), read_map(f"/proc/{process.pid}/gid_map"))
    except (FileNotFoundError, ProcessLookupError):
        return False
    default = default_maps(os.geteuid(), os.getegid()).maps
    return (maps == default or _are_another_order(maps, default)) and is_alive(process)


def _are_another_order(maps: IdMaps, default: IdMaps) -> bool:
    """Tell whether the maps are not made as the default is, and have none but its IDs."""
    if all(lines[:1] == own[:1] for lines, own in zip(maps, default, strict=True)):
        return False
    return all(
        any(one.outside <= line.outside and line.outside + line.length <= one.outside + one.length for one in own)
        for lines, own in zip(maps, default, strict=True)
        for line in lines
    )


def _fork_joining(folder: int, parent: int, body: Callable[[], None], *, keep_groups: bool, member: bool) -> int:
    pid = os.fork()
    if pid == 0:

        def join() -> None:
            if not member:
                os.close(folder)  # and with it our share of the lock
            namespaces.setns(parent, namespaces.NEWUSER)
            if member:
                _write_member(folder, identify(os.getpid()))
                os.close(folder)

        _run_child(join, body, keep_groups)
    return pid


def _fork_making(folder: int, body: Callable[[], None], keep_groups: bool) -> int:
    ready_reading, ready_writing = os.pipe2(os.O_CLOEXEC)
    mapped_reading, mapped_writing = os.pipe2(os.O_CLOEXEC)
    default = default_maps(os.geteuid(), os.getegid())
    pid = os.fork()
    if pid == 0:
        os.close(ready_reading)
        os.close(mapped_writing)
        os.close(folder)

        def make() -> None:
            _report_unshare(ready_writing)
            if os.read(mapped_reading, 1) != b"m":
                os._exit(1)  # the maker failed, and says why
            os.close(mapped_reading)

        _run_child(make, body, keep_groups)
    os.close(ready_writing)
    os.close(mapped_reading)
    try:
        _check_unshared(os.read(ready_reading, 16))
        default.write(pid, default.maps)
        _write_member(folder, identify(pid))
        os.write(mapped_writing, b"m")
    except (RlError, OSError):
        os.close(mapped_writing)
        mapped_writing = -1
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(ready_reading)
        _close_quietly(mapped_writing)
    return pid


def _report_unshare(ready: int) -> None:
    """Make the namespace and tell the maker b"u", or the errno as a decimal number."""
    try:
        namespaces.unshare(namespaces.NEWUSER)
    except OSError as error:
        os.write(ready, b"%d" % (error.errno or 0))
        os._exit(1)
    os.write(ready, b"u")
    os.close(ready)


def _check_unshared(answer: bytes) -> None:
    if answer != b"u":
        reason = os.strerror(int(answer)) if answer.isdigit() else "the child ended"
        raise NodeLacks(
            f"cannot make a user namespace: {reason}",
            "user namespaces may be disabled: see the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns; in a container, the outer engine must permit unshare",
        )


def _run_child(enter: Callable[[], None], body: Callable[[], None], keep_groups: bool) -> NoReturn:
    status = 1
    try:
        enter()
        become_root(keep_groups=keep_groups)
        body()
        status = 0
    except (RlError, OSError) as error:
        text = os_error_text(error) if isinstance(error, OSError) else str(error)
        os.write(2, f"rl: in the parent namespace: {text}\n".encode())
    finally:
        os._exit(status)


def become_root(*, keep_groups: bool = False) -> None:
    """Take UID and GID 0 of the user namespace that we are in; with one ID mapped we have them already, and setgroups is denied."""
    if not keep_groups and not current_maps_are_single():
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def current_maps_are_single() -> bool:
    """Tell whether the caller's user namespace has one ID only."""
    return own_maps().is_single


def own_maps() -> IdMaps:
    """Return the maps of the caller's own user namespace."""
    return IdMaps(read_map("/proc/self/uid_map"), read_map("/proc/self/gid_map"))


def child_maps() -> IdMaps:
    """Return the maps for a child of the caller's user namespace that shall have all of its IDs."""
    return identity_of(own_maps())


def _close_quietly(descriptor: int) -> None:
    if descriptor >= 0:
        os.close(descriptor)
