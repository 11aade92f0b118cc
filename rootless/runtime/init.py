"""The container's init: from a fork of the stage, alone in its PID namespace, to the container's own command.

It runs with all capabilities of the container's user namespace until `process.become`. Everything is imported before it starts, and
`isolation.close_interpreter` has run: from the change of root on, the image's files are data.
"""

import json
import os
import select
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, NoReturn

from rootless.errors import CannotInvoke
from rootless.linux import mounts, namespaces
from rootless.linux.own_process import close_all_except
from rootless.linux.sockets import accept_packets, socket
from rootless.runtime import channel, console, mounting, streams
from rootless.runtime.extras import Extras
from rootless.runtime.mount_flags import PROPAGATIONS
from rootless.runtime.mount_points import make_folder
from rootless.runtime.process import SeccompFilter, become, check_command, execute
from rootless.runtime.sharing import keeps_groups

TOLD: Final = b"t"


class InitPlan(NamedTuple):
    """What init needs to know besides the OCI config."""

    spec: Mapping[str, Any]
    root: str  # where the root file system is mounted
    seccomp_filter: SeccompFilter | None
    stdio: tuple[int, int, int] | None  # None: a terminal of its own, or /dev/null for what is not wanted
    single_id: bool
    reaper: bool  # --init: see `reaper`
    extras: Extras  # what few configs have
    preserved: tuple[int, ...] = ()  # further descriptors that the command gets
    listener: socket | None = None  # where to wait for `start`; None: at the socket of `create`, whose end is then ours, too
    told: int = -1  # a pipe that has `TOLD` when the starter has been told of us, and ends when it will not be
    pivot: bool = True  # False: where the root is the initial ramfs, which pivot_root(2) refuses


def run(plan: InitPlan, sync: socket) -> NoReturn:
    """Set the container up, tell the starter `ready`, wait for `start`, and execute; an error is the last event."""
    try:
        _set_up(plan, sync)
        if os.read(plan.told, 1) != TOLD:
            os._exit(1)
        os.close(plan.told)
        channel.send(sync, "ready")
        sync, state = _wait_for_start(plan, sync)
        _run_hooks(plan, "startContainer", state)
        if plan.reaper:
            from rootless.runtime import reaper  # rare: loaded already, before the interpreter was closed (`extras`)

            reaper.fork_command(sync, is_wanted=lambda: _is_connected(sync))
            channel.send(sync, "command", [os.pidfd_open(os.getpid())])
        outlives_starter = plan.listener is not None
        execute(
            plan.spec["process"],
            die_with_parent=not (plan.reaper or outlives_starter),
            still_wanted=lambda: outlives_starter or _is_connected(sync),
        )
    except Exception as error:  # also a defect of ours: who waits must learn of it
        channel.send_error(sync, error, "cannot start the container")
    finally:
        os._exit(1)


def _wait_for_start(plan: InitPlan, sync: socket) -> tuple[socket, dict[str, Any]]:
    """Wait until the container is to start; returns the socket to report to, and the container's state for hooks."""
    if plan.listener is None:
        message = channel.receive(sync)
        if message.event != "start":
            os._exit(1)
        return sync, {}
    sync.close()
    while True:
        sync = accept_packets(plan.listener)
        message = channel.receive(sync)
        if message.event == "start":
            return sync, message.fields.get("state") or {}
        sync.close()  # somebody only asked whether we still wait


def _run_hooks(plan: InitPlan, point: str, state: Mapping[str, Any]) -> None:
    """Run the hooks of one point that belong inside, with init's PID as it is there."""
    if (plan.spec.get("hooks") or {}).get(point):
        from rootless.runtime import hooks  # as the reaper

        environment = dict(entry.partition("=")[::2] for entry in plan.spec["process"]["env"])
        annotations = {"annotations": plan.spec["annotations"]} if plan.spec.get("annotations") else {}
        hooks.run_all(plan.spec, point, json.dumps({**state, "pid": os.getpid(), **annotations}).encode(), environment)


def _run_hooks_before_root(plan: InitPlan, sync: socket) -> None:
    """Let the starter run the hooks that come before the change of root, then run our own."""
    if not plan.spec.get("hooks"):
        return
    from rootless.runtime import hooks  # as the reaper

    if hooks.wants_pause(plan.spec):
        channel.send(sync, "mounted")
        message = channel.receive(sync)
        if message.event != "hooked":
            os._exit(1)  # a hook failed, or the starter is gone
        _run_hooks(plan, hooks.IN_CONTAINER, message.fields["state"])


def _set_up(plan: InitPlan, sync: socket) -> None:
    spec, process = plan.spec, plan.spec["process"]
    os.setsid()
    entries = spec["linux"].get("namespaces") or ()
    if any(entry["type"] == "cgroup" and not entry.get("path") for entry in entries):
        namespaces.unshare(namespaces.NEWCGROUP)
    if any(entry["type"] == "uts" for entry in entries):
        if spec.get("hostname"):
            namespaces.sethostname(spec["hostname"].encode())
        if spec.get("domainname"):
            namespaces.setdomainname(spec["domainname"].encode())
    for step in plan.extras.before_mounts:
        step()
    root = _mount(plan)
    _run_hooks_before_root(plan, sync)
    terminal = _open_terminal(plan, root, sync)
    mounting.finish(root, spec.get("mounts") or ())
    _change_root(root, pivot=plan.pivot)
    if process["cwd"] != "/":
        _make_working_folder(root, process["cwd"])
    if spec["linux"].get("rootfsPropagation"):
        propagation, recursive = PROPAGATIONS[spec["linux"]["rootfsPropagation"]]
        mounts.set_attributes(root, 0, recursive, "/", propagation)
    if spec["root"].get("readonly"):
        mounts.set_attributes(root, mounts.MOUNT_ATTR_RDONLY, False, "/")
    _connect_streams(plan, root, terminal)
    os.close(root)
    listener = () if plan.listener is None else (plan.listener.fileno(),)
    close_all_except({0, 1, 2, sync.fileno(), plan.told, *plan.preserved, *listener})
    for descriptor in plan.preserved:
        os.set_inheritable(descriptor, True)
    keep_groups = plan.single_id or keeps_groups(spec)
    become(process, plan.seccomp_filter, keep_groups=keep_groups, steps=plan.extras.before_user, sync=sync)
    if plan.listener is not None:
        check_command(process)  # whoever starts it later may see an exit status only


def _make_working_folder(root: int, cwd: str) -> None:
    try:
        make_folder(root, cwd)
    except OSError as error:
        raise CannotInvoke(f'cannot use the working directory "{cwd}": {os.strerror(error.errno or 0)}') from None


def _mount(plan: InitPlan) -> int:
    """Make the mounts below the new root and return a descriptor of it."""
    linux = plan.spec["linux"]
    root = os.open(plan.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    mounting.mount_all(root, plan.spec.get("mounts") or (), single_id=plan.single_id, id_maps=plan.extras.id_maps)
    for step in plan.extras.after_mounts:
        step(root)
    mounting.mask(root, linux.get("maskedPaths") or ())
    mounting.make_read_only(root, linux.get("readonlyPaths") or ())
    return root


def _open_terminal(plan: InitPlan, root: int, sync: socket) -> console.Terminal | None:
    """Open the container's terminal and hand the master to the starter, its only holder from then on."""
    process = plan.spec["process"]
    if not process.get("terminal"):
        return None
    terminal = console.open_terminal(root, process["user"]["uid"])
    size = process.get("consoleSize")
    if size:
        console.set_size(terminal.master, size["height"], size["width"])
    console.bind_console(root, terminal.slave)
    channel.send(sync, "console", [terminal.master])
    os.close(terminal.master)
    return terminal


def _change_root(root: int, *, pivot: bool) -> None:
    """Make the mount that `root` refers to the root of the mount namespace and let go of the old one (pivot_root(2), NOTES)."""
    os.fchdir(root)
    if pivot:
        mounts.pivot_root(".", ".")
        mounts.unmount(".", mounts.MNT_DETACH)
    else:
        mounts.mount(".", "/", None, mounts.MS_MOVE)
        os.chroot(".")
    os.chdir("/")


def _connect_streams(plan: InitPlan, root: int, terminal: console.Terminal | None) -> None:
    if terminal is not None:
        console.make_controlling(terminal.slave)
        return
    assert plan.stdio is not None
    streams.connect(plan.stdio, plan.spec["process"]["user"]["uid"], root)


def _is_connected(sync: socket) -> bool:
    poll = select.poll()
    poll.register(sync.fileno(), select.POLLRDHUP)
    return not any(events & (select.POLLHUP | select.POLLRDHUP) for _fd, events in poll.poll(0))
