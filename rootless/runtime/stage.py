"""From the starter's fork to the container's init: user namespace, mount namespace, root file system, network.

Theory of operation. S (the starter: a monitor) calls `launch.create`; O is the outer stage, in the parent namespace P; T is the
stage in the container's user and mount namespaces, where another OCI runtime could run as well; I is init.

    S                          O                           T                          I
    fork into P -------------> fork ---------------------> unshare(user, mount, net)
                                 <-------- "u" -----------
                               writes T's ID maps
                                 --------- "m" ----------> UID, GID 0
                               exits                       mounts the root
      <------------ staged [descriptors of the root's server] (FUSE requests wait)
                                                           makes the network device
      <------------ network [tap]
                                                           resolves the user, as data
                                                           unshare(pid, ipc, uts)
                                                           closes the interpreter
                                                           fork ---------------------> mounts, change of root
      <------------ created (PIDs) [pidfd of I] -----------  exits                     terminal
      <------------ console [master] --------------------------------------------------
      <------------ ready -------------------------------------------------------------
    reaps O and T
      ------------- start ------------------------------------------------------------> parent-death signal; execve
      <------------ command [pidfd] (only below a reaper, from the command itself) ----
      <------------ end of file (close on exec), or error ------------------------------

`created` and what I sends come in any order. An `error` may come instead of any event, and is the last. S dying shows as end of
file to whoever waits.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from rootless.linux import mounts, namespaces
from rootless.linux.process import close_all_except, set_command_line, set_name
from rootless.linux.sockets import socket
from rootless.namespaces.idmap import write_by_kernel
from rootless.namespaces.parent import child_maps, current_maps_are_single
from rootless.runtime import channel, init
from rootless.runtime.isolation import close_interpreter
from rootless.runtime.process import SeccompFilter, complete, completion
from rootless.runtime.users import resolve

# What T itself unshares before it forks init; the rest of the OCI namespaces is made by T earlier (user, mount, network) or by I.
_BEFORE_FORK = ("pid", "ipc", "uts")


class StagePlan(NamedTuple):
    """What the stages need to make one container; callables run in T, as the container's root."""

    spec: dict[str, Any]  # the OCI config; T completes its process
    root: str
    user: str  # as in `-u`: resolved against the image's files in T
    capability_names: tuple[str, ...]
    mount_root: Callable[[], list[int]]
    make_network: Callable[[], int | None]
    seccomp_filter: SeccompFilter | None
    stdio: tuple[int, int, int] | None
    reaper: bool


def run_outer(plan: StagePlan, sync: socket) -> None:
    """Be O: fork T, write its ID maps, and end."""
    keep = {0, 1, 2, sync.fileno(), *(descriptor for descriptor in plan.stdio or () if descriptor >= 0)}
    close_all_except(keep)
    ready_reading, ready_writing = os.pipe2(os.O_CLOEXEC)
    mapped_reading, mapped_writing = os.pipe2(os.O_CLOEXEC)
    maps = child_maps()
    pid = os.fork()
    if pid == 0:
        os.close(ready_reading)
        os.close(mapped_writing)
        _run_inner(plan, sync, ready_writing, mapped_reading)
    os.close(ready_writing)
    try:
        if os.read(ready_reading, 1) == b"u":
            write_by_kernel(pid, maps)
            os.write(mapped_writing, b"m")
    except Exception as error:  # as above
        channel.send_error(sync, error, "cannot map the container's IDs")


def _run_inner(plan: StagePlan, sync: socket, ready: int, mapped: int) -> NoReturn:
    """Be T."""
    try:
        _enter_namespaces(plan, ready, mapped)
        descriptors = plan.mount_root()
        channel.send(sync, "staged", descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        _make_network(plan, sync)
        _fork_init(plan, sync, _resolve_user(plan))
    except Exception as error:  # also a defect of ours: who waits must learn of it
        channel.send_error(sync, error, "cannot make the container")
    finally:
        os._exit(0)


def _enter_namespaces(plan: StagePlan, ready: int, mapped: int) -> None:
    wanted = _namespace_types(plan.spec)
    flags = namespaces.NEWUSER | namespaces.NEWNS
    if "network" in wanted:
        flags |= namespaces.NEWNET
    namespaces.unshare(flags)
    os.write(ready, b"u")
    if os.read(mapped, 1) != b"m":
        os._exit(1)  # O has sent the error
    os.close(ready)
    os.close(mapped)
    if not current_maps_are_single():
        os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    # Nothing that happens here may reach the node's mounts; what the node mounts later may still arrive.
    mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE)


def _make_network(plan: StagePlan, sync: socket) -> None:
    tap = plan.make_network()
    if tap is not None:
        channel.send(sync, "network", [tap])
        os.close(tap)


def _resolve_user(plan: StagePlan) -> dict[str, Any]:
    """Return what `-u` and the image's passwd and group files make of the OCI process."""
    root = os.open(plan.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        user = resolve(root, plan.user)
    finally:
        os.close(root)
    return completion(plan.capability_names, user, plan.spec["process"]["env"])


def _fork_init(plan: StagePlan, sync: socket, known: dict[str, Any]) -> None:
    flags = 0
    for name in _BEFORE_FORK:
        if name in _namespace_types(plan.spec):
            flags |= namespaces.OCI_NAMES[name]
    spec = {**plan.spec, "process": complete(plan.spec["process"], known)}
    init_plan = init.InitPlan(spec, plan.root, plan.seccomp_filter, plan.stdio, current_maps_are_single(), plan.reaper)
    namespaces.unshare(flags)
    set_name(b"rl-init")
    set_command_line(b"rl init")
    close_interpreter()
    pid = os.fork()
    if pid == 0:
        init.run(init_plan, sync)
    channel.send(sync, "created", [os.pidfd_open(pid)], init=pid, stage=os.getpid(), known=known)


def _namespace_types(spec: Mapping[str, Any]) -> set[str]:
    return {entry["type"] for entry in spec["linux"]["namespaces"]}
