"""Running one more process in a running container (exec): joining its namespaces, then the last steps that init shares.

Theory of operation. S is the session process that calls `create`; E enters; X is the process itself.

    S                          E                                      X
    fork --------------------> closes the interpreter (not dumpable)
                               setns(pidfd, all namespaces)
                               fork -------------------------------> terminal, user, capabilities, seccomp
      <------- created (PID) -- exits
      <------- console [master] -------------------------------------
      <------- listener [descriptor] (only of a filter that asks) ---
      <------- end of file (close on exec), or error ----------------

E closes itself before it enters, because the container's root could open a process that is there. X becomes S's child, a subreaper.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, NoReturn

from rootless.errors import InUse, RlError
from rootless.linux import namespaces
from rootless.linux.own_process import close_all_except
from rootless.linux.process import pid_of
from rootless.linux.sockets import packet_pair, socket
from rootless.namespaces.idmap import IdMaps, read_map
from rootless.runtime import channel, console, streams
from rootless.runtime.extras import Step, load_process
from rootless.runtime.interpreter import check_protected
from rootless.runtime.isolation import close_interpreter
from rootless.runtime.process import SeccompFilter, become, complete, completion, execute, refuse_listener
from rootless.runtime.users import resolve

_OVERFLOW_UID: Final = 65534  # whom the kernel shows for somebody who is not mapped (user_namespaces(7))


class JoinPlan(NamedTuple):
    """What a process in a running container needs."""

    entry_pidfd: int  # of a process whose namespaces are joined
    process: dict[str, Any]  # the OCI process; it is completed inside, unless `user` is None
    user: str | None
    capability_names: tuple[str, ...]
    seccomp_filter: SeccompFilter | None
    id_maps: IdMaps | None  # of the container's user namespace, or one above it; None: it is our own
    stdio: tuple[int, int, int] | None  # None: a terminal of its own; -1: /dev/null
    preserved: tuple[int, ...] = ()  # further descriptors that the process gets
    linux: Mapping[str, Any] = MappingProxyType({})  # of the container's config
    on_listener: Callable[[int, int], None] = refuse_listener  # takes the process's PID and the listener of its filter
    groups: tuple[str, ...] = ()  # the process's further groups, with `user`
    keep_groups: bool = False  # it keeps the caller's own
    admit: Callable[[int], None] | None = None  # called with E's PID before it enters: places it in a cgroup


class Joined(NamedTuple):
    """A process that executes in the container; a child of the caller, which owns the terminal's master."""

    pid: int
    master: int | None


def create(plan: JoinPlan) -> Joined:
    """Run the process; returns when it has executed its command. The caller is single-threaded and a child subreaper.

    Raises `CommandNotFound`, `CannotInvoke`, or `InUse` when the container has ended.
    """
    check_protected(plan.id_maps)
    ours, theirs = packet_pair()
    entering = os.fork()
    if entering == 0:
        _enter(plan, theirs)
    theirs.close()
    pid, master, listener = -1, None, -1
    while True:
        if listener >= 0 and pid >= 0:
            _hand_over(plan, pid, listener)
            listener = -1
        message = channel.receive(ours)
        if message.event == "created":
            pid = message.fields["pid"]
            os.waitpid(entering, 0)
        elif message.event == "console":
            (master,) = message.descriptors
        elif message.event == "listener":
            (listener,) = message.descriptors
        elif message.event == "error":
            _reap(pid if pid >= 0 else entering)
            raise channel.to_exception(message)
        elif pid < 0:
            _reap(entering)
            raise InUse("the container has ended")
        else:
            ours.close()
            return Joined(pid, master)


def _hand_over(plan: JoinPlan, pid: int, listener: int) -> None:
    """Hand the listener on; a process that nobody can answer must not be left waiting."""
    try:
        plan.on_listener(pid, listener)
    except (RlError, OSError):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _reap(pid)
        raise
    finally:
        os.close(listener)


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def _enter(plan: JoinPlan, sync: socket) -> NoReturn:
    """Be E."""
    try:
        flags = namespaces.patiently(pid_of(plan.entry_pidfd), lambda: _foreign_namespaces(plan.entry_pidfd))
        if plan.admit is not None:
            plan.admit(os.getpid())
        keep_groups = plan.keep_groups or _has_single_id(plan.entry_pidfd)
        keep = {0, 1, 2, plan.entry_pidfd, sync.fileno(), *plan.preserved}
        close_all_except(keep | {descriptor for descriptor in plan.stdio or () if descriptor >= 0})
        steps = load_process(plan.process, plan.linux, plan.seccomp_filter.flags if plan.seccomp_filter else 0)
        close_interpreter()
        namespaces.setns(plan.entry_pidfd, flags)
        pid = os.fork()
        if pid == 0:
            _be_process(plan, steps, sync, keep_groups=keep_groups, enters_user_namespace=bool(flags & namespaces.NEWUSER))
        channel.send(sync, "created", pid=pid)
    except ProcessLookupError:
        channel.send_error(sync, InUse("the container has ended"), "")
    except Exception as error:  # also a defect of ours: who waits must learn of it
        channel.send_error(sync, error, "cannot enter the container")
    finally:
        os._exit(0)


def _foreign_namespaces(pidfd: int) -> int:
    """Return the flags of the namespaces that a process has and we are not in: to join our own user namespace is refused."""
    pid = pid_of(pidfd)
    flags = 0
    for flag, name in namespaces.PROC_NAMES.items():
        with contextlib.suppress(FileNotFoundError):  # a kind that the kernel was built without, or the process has ended
            if os.stat(f"/proc/{pid}/ns/{name}").st_ino != os.stat(f"/proc/self/ns/{name}").st_ino:
                flags |= flag
    pid_of(pidfd)  # it still lives, so the links were its own
    return flags


def _be_process(plan: JoinPlan, steps: list[Step], sync: socket, *, keep_groups: bool, enters_user_namespace: bool) -> NoReturn:
    """Be X."""
    try:
        os.setsid()
        if enters_user_namespace:
            if os.getuid() == _OVERFLOW_UID:
                streams.open_to_all(plan.stdio or ())
            if not keep_groups:
                os.setgroups([])
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        process = _resolve_user(plan, root)
        _connect_streams(plan, process["user"]["uid"], root, sync)
        os.close(root)
        close_all_except({0, 1, 2, sync.fileno(), *plan.preserved})
        for descriptor in plan.preserved:
            os.set_inheritable(descriptor, True)
        become(process, plan.seccomp_filter, keep_groups=keep_groups, steps=steps, sync=sync)
        execute(process, die_with_parent=False, still_wanted=lambda: True)
    except Exception as error:  # as above
        channel.send_error(sync, error, "cannot execute in the container")
    finally:
        os._exit(1)


def _resolve_user(plan: JoinPlan, root: int) -> Mapping[str, Any]:
    if plan.user is None:
        return plan.process
    return complete(plan.process, completion(plan.capability_names, resolve(root, plan.user, plan.groups), plan.process["env"]))


def _connect_streams(plan: JoinPlan, uid: int, root: int, sync: socket) -> None:
    if plan.stdio is None:
        terminal = console.open_terminal(root, uid)
        size = plan.process.get("consoleSize")
        if size:
            console.set_size(terminal.master, size["height"], size["width"])
        channel.send(sync, "console", [terminal.master])
        os.close(terminal.master)
        console.make_controlling(terminal.slave)
        return
    streams.connect(plan.stdio, uid, root)


def _has_single_id(pidfd: int) -> bool:
    """Tell whether a process's user namespace has one ID; asked outside: the container's /proc is not ours to trust."""
    pid = pid_of(pidfd)
    maps = IdMaps(read_map(f"/proc/{pid}/uid_map"), read_map(f"/proc/{pid}/gid_map"))
    pid_of(pidfd)  # it still lives, so the maps were its own
    return maps.is_single
