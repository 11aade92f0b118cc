"""`create`: from a bundle to a container whose init waits for its start.

The handshake with the stages is drawn in `rootless.runtime.stage`. The state folder is there from the beginning (`creating`), the
record names init before anybody is told, and nothing is left of a container that could not be made.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rootless.errors import InvalidInput, RlError
from rootless.linux import mounts
from rootless.linux.own_process import become_subreaper
from rootless.linux.process import ProcessId
from rootless.linux.sockets import SOCK_SEQPACKET, listen_at, socket
from rootless.runtime import hooks, launch, seccomp
from rootless.runtime.interpreter import protect
from rootless.runtime.launch import Created, Watcher
from rootless.runtime.oci import cgroup, console_socket, id_maps
from rootless.runtime.oci.bundle import Bundle
from rootless.runtime.oci.state import SOCKET, Folder, Record, new_creator, oci_state
from rootless.runtime.process import SeccompFilter
from rootless.runtime.stage import StagePlan


class CreateOptions(NamedTuple):
    """Options of `rl oci create`."""

    console_socket: str | None = None
    pid_file: str | None = None
    preserve_fds: int = 0
    pivot: bool = True
    cgroups: bool = True
    seccomp_cache: str = ""  # a folder for compiled filters


class Container(NamedTuple):
    """A container that was made; its init is a child of the caller."""

    folder: Folder
    init: ProcessId
    pidfd: int
    master: int | None  # of its terminal, where no console socket took it


def create(folder: Folder, bundle: Bundle, options: CreateOptions, environ: Mapping[str, str]) -> Container:
    """Make a container. The caller is single-threaded and becomes a child subreaper. Raises `RlError` or `OSError`."""
    terminal = bool(bundle.spec["process"].get("terminal"))
    if options.console_socket is not None and not terminal:
        raise InvalidInput("--console-socket is for a process with a terminal", "set process.terminal in config.json")
    protect(id_maps.of_container(bundle.spec))
    spec, preserved = _with_preserved(bundle.spec, options.preserve_fds, environ)
    seccomp_filter = load_filter(spec, options.seccomp_cache)
    become_subreaper()
    made = cgroup.make(spec["linux"].get("cgroupsPath")) if options.cgroups else None
    record = _new_record(folder, bundle)._replace(cgroup=made)
    try:
        folder.claim(record, spec)
    except (RlError, OSError):
        if made is not None:
            cgroup.remove_empty(made)
        raise
    try:
        with folder.lock():
            listener = listen_at(folder.path, SOCKET, SOCK_SEQPACKET)
            plan = _plan(bundle._replace(spec=spec), options, preserved, seccomp_filter, listener, made)
            created = launch.create(launch.fork_here, plan, _watcher(record, spec, environ), _wait_readable)
            created.sync.close()
            listener.close()
            master = _finish(folder, record, created, options)
    except (RlError, OSError):
        if made is not None:
            cgroup.remove(made)
        folder.remove()
        raise
    return Container(folder, created.init, created.pidfd, master)


def _new_record(folder: Folder, bundle: Bundle) -> Record:
    return Record(
        folder.id,
        bundle.folder,
        bundle.root,
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        os.geteuid(),
        bundle.spec["ociVersion"],
        dict(bundle.spec.get("annotations") or {}),
        new_creator(),
    )


def _finish(folder: Folder, record: Record, created: Created, options: CreateOptions) -> int | None:
    """Write down who the container is, and tell whoever asked; returns the terminal's master if nobody took it."""
    try:
        folder.write(record._replace(init=created.init))
        master = created.master
        if master is not None and options.console_socket is not None:
            console_socket.send(options.console_socket, master)
            os.close(master)
            master = None
        if options.pid_file is not None:
            write_pid_file(options.pid_file, created.init.pid)
    except (RlError, OSError):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(created.pidfd, signal.SIGKILL)
        raise
    return master


def load_filter(spec: Mapping[str, Any], cache: str) -> SeccompFilter | None:
    """Return the compiled filter of a config's linux.seccomp, if it has one."""
    wanted = spec["linux"].get("seccomp")
    if not wanted:
        return None
    program = seccomp.load_program(cache, wanted, seccomp.Platform.of_this_node())
    return SeccompFilter(program, seccomp.filter_flags(wanted))


def preserved_descriptors(count: int, environ: Mapping[str, str]) -> tuple[tuple[int, ...], list[str]]:
    """Return the descriptors from 3 on that are passed on, and what is to be added to the environment for them.

    As in runc, those of socket activation (sd_listen_fds(3)) come first. Raises `InvalidInput` for one that is not open.
    """
    activation = environ.get("LISTEN_FDS", "")
    sockets = int(activation) if activation.isdecimal() else 0
    descriptors = tuple(range(3, 3 + sockets + count))
    for descriptor in descriptors:
        try:
            os.fstat(descriptor)
        except OSError:
            raise InvalidInput(f"cannot preserve descriptor {descriptor}: it is not open", "see --preserve-fds") from None
    return descriptors, [f"LISTEN_FDS={sockets}", "LISTEN_PID=1"] if sockets else []


def _with_preserved(spec: dict[str, Any], count: int, environ: Mapping[str, str]) -> tuple[dict[str, Any], tuple[int, ...]]:
    descriptors, variables = preserved_descriptors(count, environ)
    process = {**spec["process"], "env": [*spec["process"]["env"], *variables]}
    return {**spec, "process": process}, descriptors


def _admission(write_maps: Callable[[int], None] | None, place: Callable[[int], None] | None) -> Callable[[int], None] | None:
    """Return what is done for the stage from outside, if anything is."""
    if write_maps is None or place is None:
        return write_maps or place

    def admit(pid: int) -> None:
        place(pid)
        write_maps(pid)

    return admit


def _plan(
    bundle: Bundle,
    options: CreateOptions,
    preserved: tuple[int, ...],
    seccomp_filter: SeccompFilter | None,
    listener: socket,
    cgroup_folder: str | None,
) -> StagePlan:
    return StagePlan(
        spec=bundle.spec,
        root=bundle.root,
        user=None,
        capability_names=(),
        mount_root=lambda: _mount_root(bundle.root),
        make_network=lambda: None,
        seccomp_filter=seccomp_filter,
        stdio=None if bundle.spec["process"].get("terminal") else (0, 1, 2),
        reaper=False,
        id_maps=id_maps.of_container(bundle.spec),
        admit=_admission(id_maps.writer(bundle.spec), cgroup.placer(cgroup_folder)),
        preserved=preserved,
        listener=listener,
        pivot=options.pivot,
    )


def _mount_root(root: str) -> list[int]:
    """Bind the root file system upon itself, for it must be a mount to become the root."""
    tree = mounts.clone_tree(root, recursive=True)
    target = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mounts.attach_tree(tree, target, root)
    finally:
        os.close(target)
        os.close(tree)
    return []


def _watcher(record: Record, spec: Mapping[str, Any], environ: Mapping[str, str]) -> Watcher:
    def on_mounted(init: ProcessId) -> dict[str, Any]:
        import json

        state = oci_state(record._replace(init=init), "creating")
        for point in hooks.IN_RUNTIME:
            hooks.run_all(spec, point, json.dumps(state).encode(), environ)
        return oci_state(record._replace(init=init, annotations={}), "creating")  # init knows those, and a packet is small

    def on_listener(pid: int, listener: int) -> None:
        from rootless.runtime.oci import seccomp_agent  # rare

        state = {**oci_state(record, "creating"), "pid": pid}
        seccomp_agent.send(spec["linux"]["seccomp"], listener, pid, state)

    return Watcher(lambda: None, _close_all, _close_all, on_mounted, on_listener)


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _wait_readable(sync: socket) -> None:
    select.select([sync.fileno()], [], [])


def write_pid_file(path: str, pid: int) -> None:
    """Write a PID so that a reader sees all of it or no file."""
    temporary = f"{os.path.dirname(path) or '.'}/.{os.path.basename(path)}.{os.getpid()}"
    with open(temporary, "w", encoding="ascii") as file:
        file.write(str(pid))
    os.rename(temporary, path)
