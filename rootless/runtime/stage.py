"""From the starter's fork to the container's init: user namespace, mount namespace, root file system, network.

Theory of operation. S (the starter: a monitor, or `rl oci create`) calls `launch.create`; O is the outer stage, which a monitor has
in the parent namespace P; T is the stage in the container's user and mount namespaces, where another OCI runtime could run as
well; I is init.

    S                          O                           T                          I
    fork (into P) -----------> fork ---------------------> joins namespaces by path
                                                           unshare(user)
                                 <-------- "u" -----------
                               writes T's ID maps
                                 --------- "m" ----------> UID, GID 0; unshare(mount, net)
                               ends (*)                    mounts the root
      <------------ staged [descriptors of the root's server] (FUSE requests wait)
                                                           makes the network device
      <------------ network [tap]
                                                           resolves the user, as data
                                                           unshare(pid, ipc, uts)
                                                           closes the interpreter
                                                           fork ---------------------> mounts
      <------------ created (PIDs) [pidfd of I] -----------  exits
      <------------ mounted (only with hooks) -----------------------------------------
    runs hooks
      ------------- hooked -----------------------------------------------------------> hooks; change of root; terminal
      <------------ console [master] --------------------------------------------------
      <------------ listener [descriptor] (only of a filter that asks) -----------------
      <------------ ready -------------------------------------------------------------
    reaps O and T (*)
      ------------- start ------------------------------------------------------------> parent-death signal; execve
      <------------ command [pidfd] (only below a reaper, from the command itself) ----
      <------------ end of file (close on exec), or error ------------------------------

`created` and what I sends come in any order. An `error` may come instead of any event, and is the last. S dying shows as end of
file to whoever waits. Where `start` is another process than `create` (`rl oci`), I waits for it at a listening socket, and the part
of the dialogue from `start` on takes place over the accepted connection.

(*) A monitor's O lingers, with nothing open, until I has executed its command, and is killed then: until that I is closed to all
who look for the parent namespace (`rootless.namespaces.parent`), and O leads there. Before `start`, S waits for T's end by a pidfd,
and reaps T after O. Where paths are to be given to the container's user, O first waits until T has resolved that, whose IDs T sends
as P has them, and answers "o" when it is done.
"""

import errno
import os
import signal
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from rootless.errors import InUse
from rootless.linux import mounts, namespaces
from rootless.linux.own_process import close_all_except, set_command_line, set_name, set_parent_death_signal
from rootless.linux.sockets import socket
from rootless.namespaces.idmap import IdMaps, outside_id
from rootless.namespaces.parent import current_maps_are_single, own_maps
from rootless.runtime import channel, entering, init
from rootless.runtime.extras import load as load_extras
from rootless.runtime.isolation import close_interpreter
from rootless.runtime.process import SeccompFilter, complete, completion
from rootless.runtime.sharing import keeps_groups
from rootless.runtime.streams import open_to_all
from rootless.runtime.users import resolve

if TYPE_CHECKING:
    from rootless.runtime.foreign import ForeignRuntime


class StagePlan(NamedTuple):
    """What the stages need to make one container; callables run in T, as the container's root, but for `admit`."""

    spec: dict[str, Any]  # the OCI config; T completes its process unless `user` is None
    root: str
    user: str | None  # as in `-u`: resolved against the image's files in T; None: `spec` has it all
    capability_names: tuple[str, ...]
    mount_root: Callable[[], list[int]]
    make_network: Callable[[], int | None]
    seccomp_filter: SeccompFilter | None
    stdio: tuple[int, int, int] | None
    reaper: bool
    id_maps: IdMaps | None  # of the container's user namespace, or one above it; None: it is our own
    admit: Callable[[int], None] | None  # called in O with T's PID: writes its ID maps, places it in a cgroup
    lingers: bool = False  # O lives, in P, until it is killed
    preserved: tuple[int, ...] = ()  # further descriptors that the container gets
    held: tuple[int, ...] = ()  # descriptors that the stages use: namespaces by path, mounts
    groups: tuple[str, ...] = ()  # the process's further groups, with `user`
    listener: socket | None = None  # where init waits for `start`; None: at the socket of `create`
    pivot: bool = True
    # What the mounts need besides: called in T with the root's path and the OCI process's user, when the root is mounted.
    make_sources: Callable[[str, Mapping[str, Any]], None] | None = None
    owned: tuple[str, ...] = ()  # paths outside whose owner becomes that user
    given: tuple[str, ...] = ()  # paths outside whose owner becomes the container's root
    # Where that root cannot reach the user's files (see `unreachable`): called before T becomes it; returns folders that are held.
    hold_sources: Callable[[], Mapping[str, str]] | None = None
    foreign: "ForeignRuntime | None" = None  # another runtime makes init


def run_outer(plan: StagePlan, sync: socket, starter: int) -> None:
    """Be O: fork T, write its ID maps, and end, or linger as long as the process `starter` lives."""
    keep = {0, 1, 2, sync.fileno(), *plan.preserved, *plan.held}
    keep.update(descriptor for descriptor in plan.stdio or () if descriptor >= 0)
    if plan.listener is not None:
        keep.add(plan.listener.fileno())
    close_all_except(keep)
    ready_reading, ready_writing = os.pipe2(os.O_CLOEXEC)
    mapped_reading, mapped_writing = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        os.close(ready_reading)
        os.close(mapped_writing)
        _run_inner(plan, sync, ready_writing, mapped_reading)
    os.close(ready_writing)
    try:
        admitted = plan.admit is None
        if plan.admit is not None and os.read(ready_reading, 1) == b"u":
            plan.admit(pid)
            os.write(mapped_writing, b"m")
            admitted = True
        if admitted and _gives_away(plan):
            _give_away(plan, os.read(ready_reading, 128), mapped_writing)
    except Exception as error:  # as above
        channel.send_error(sync, error, "cannot prepare the container's IDs")
    if plan.lingers:
        _linger(starter)


def _linger(starter: int) -> None:
    """Stay as a member of the parent namespace, with nothing open, until the container was started, or the starter ends."""
    close_all_except(set())
    set_parent_death_signal(signal.SIGKILL)
    while os.getppid() == starter:
        signal.pause()


def _run_inner(plan: StagePlan, sync: socket, ready: int, mapped: int) -> NoReturn:
    """Be T."""
    try:
        plan = _enter_and_mount(plan, sync, lambda: _wait_for_admission(plan, ready, mapped))
        _make_network(plan, sync)
        known = _resolve_user(plan)
        if _gives_away(plan):
            _ask_to_give_away(plan.spec, known["user"], ready, mapped)
        if plan.make_sources is not None:
            plan.make_sources(plan.root, known["user"])
        if plan.foreign is None:
            _fork_init(plan, sync, known)
        else:
            from rootless.runtime import foreign  # rare, with shutil

            spec = {**plan.spec, "process": complete(plan.spec["process"], known)}
            foreign.run(plan.foreign, spec, plan.stdio, sync, known)
    except Exception as error:  # also a defect of ours: who waits must learn of it
        channel.send_error(sync, error, "cannot make the container")
    finally:
        os._exit(0)


def _enter_and_mount(plan: StagePlan, sync: socket, become_mapped: Callable[[], None]) -> StagePlan:
    """Enter the namespaces and mount the root; returns the plan with the paths that hold from then on."""
    if plan.hold_sources is None:
        entering.enter(plan.spec, become_mapped, lambda: _become_root(plan.spec))
        _mount_root(plan, sync)
        return plan
    from rootless.runtime import unreachable  # few containers have such ID maps

    hold, held = plan.hold_sources, []

    def mount_as_user() -> None:
        _mount_root(plan, sync)
        open_to_all(plan.stdio or ())
        spec = unreachable.with_held_sources(plan.spec, hold())
        held.append(plan._replace(spec=spec, root=unreachable.held(plan.root)))

    entering.enter(plan.spec, become_mapped, lambda: _become_root(plan.spec), mount_as_user)
    return held[0]


def _mount_root(plan: StagePlan, sync: socket) -> None:
    if "mount" in entering.new_types(plan.spec):
        # Nothing that happens here may reach the node's mounts; what the node mounts later may still arrive.
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE)
    descriptors = plan.mount_root()
    channel.send(sync, "staged", descriptors)
    for descriptor in descriptors:
        os.close(descriptor)


def _wait_for_admission(plan: StagePlan, ready: int, mapped: int) -> None:
    if plan.admit is not None:
        os.write(ready, b"u")
        if os.read(mapped, 1) != b"m":
            os._exit(1)  # O has sent the error
    if not _gives_away(plan):
        os.close(ready)
        os.close(mapped)


def _become_root(spec: Mapping[str, Any]) -> None:
    """Take UID and GID 0 of the container's user namespace."""
    if not keeps_groups(spec) and not current_maps_are_single():
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def _gives_away(plan: StagePlan) -> bool:
    return bool(plan.owned or plan.given)


def _give_away(plan: StagePlan, owners: bytes, done: int) -> None:
    """Be O: give paths to the container's user and its root, whose `UID GID` are as P has them: P has every ID."""
    if not owners:
        return  # T has sent an error
    from rootless.storage.ownership import give_tree  # rarely asked for

    uid, gid, root_uid, root_gid = map(int, owners.split())
    for path in plan.given:
        give_tree(path, root_uid, root_gid)
    for path in plan.owned:
        give_tree(path, uid, gid)
    os.write(done, b"o")


def _ask_to_give_away(spec: Mapping[str, Any], user: Mapping[str, Any], ready: int, mapped: int) -> None:
    owners = (user["uid"], user["gid"], 0, 0)
    if any(entry["type"] == "user" for entry in spec["linux"]["namespaces"]):  # else we are in O's
        maps = own_maps()
        owners = tuple(outside_id(maps[number % 2], inside) for number, inside in enumerate(owners))  # type: ignore[assignment]
    os.write(ready, b"%d %d %d %d" % owners)
    if os.read(mapped, 1) != b"o":
        os._exit(1)  # O has sent the error
    os.close(ready)
    os.close(mapped)


def _make_network(plan: StagePlan, sync: socket) -> None:
    tap = plan.make_network()
    if tap is not None:
        channel.send(sync, "network", [tap])
        os.close(tap)


def _resolve_user(plan: StagePlan) -> dict[str, Any]:
    """Return what `-u` and the image's passwd and group files make of the OCI process."""
    if plan.user is None:
        return {"env": []}
    root = os.open(plan.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        user = resolve(root, plan.user, plan.groups)
    finally:
        os.close(root)
    return completion(plan.capability_names, user, plan.spec["process"]["env"])


def _fork_init(plan: StagePlan, sync: socket, known: dict[str, Any]) -> None:
    spec = {**plan.spec, "process": complete(plan.spec["process"], known)}
    extras = load_extras(spec, plan.seccomp_filter.flags if plan.seccomp_filter else 0, reaper=plan.reaper)
    init_plan = init.InitPlan(
        spec,
        plan.root,
        plan.seccomp_filter,
        plan.stdio,
        current_maps_are_single(),
        plan.reaper,
        extras,
        plan.preserved,
        plan.listener,
        plan.pivot,
    )
    namespaces.unshare(entering.flags_of(entering.new_types(spec), entering.BEFORE_FORK))
    for step in extras.after_unshare:
        step()
    kept = []
    if "pid" not in entering.new_types(spec):
        # The kernel does not end what init leaves behind: its starter will, and knows it by the mount namespace. Opened before
        # init changes the root, which is ours, too.
        kept.append(namespaces.open_namespace(os.getpid(), namespaces.NEWNS))
    set_name(b"rl-init")
    set_command_line(b"rl init")
    close_interpreter()
    # Init must not outlive a stage that was killed before it told of it: nobody would know whom to wait for.
    told, teller = os.pipe2(os.O_CLOEXEC)
    pid = _fork(spec)
    if pid == 0:
        os.close(teller)
        init.run(init_plan._replace(told=told), sync)
    channel.send(sync, "created", [os.pidfd_open(pid), *kept], init=pid, stage=os.getpid(), known=known)
    os.write(teller, init.TOLD)


def _fork(spec: Mapping[str, Any]) -> int:
    try:
        return os.fork()
    except OSError as error:
        if error.errno == errno.ENOMEM and "pid" not in entering.new_types(spec):  # fork(2): the namespace's init has ended
            raise InUse("the container whose PID namespace is joined has ended") from None
        raise
