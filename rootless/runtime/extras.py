"""Properties that few configs have, each in a module that is loaded only for a config that has it.

The stage calls `load` before the interpreter is closed (`isolation`): what a config needs later is imported then, and what has to
be done or found out in the stage is done then. The rest is kept as steps, which init takes at their time.
"""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from rootless.errors import NodeLacks, RlError
from rootless.linux.seccomp import FILTER_FLAG_NEW_LISTENER
from rootless.runtime.mount_flags import COPY_UP, ID_MAPS

Step: TypeAlias = Callable[[], None]

_OF_MOUNTS: Final = frozenset({COPY_UP, *ID_MAPS})


class Extras:
    """The steps of one container, in the order of their times."""

    def __init__(self) -> None:
        self.after_unshare: list[Step] = []  # in the stage, with all new namespaces, before it forks init
        self.before_mounts: list[Step] = []  # in init, in all its namespaces
        self.after_mounts: list[Callable[[int], None]] = []  # with a descriptor of the root, not changed to yet
        self.before_user: list[Step] = []  # in the process itself, which still has every capability
        self.id_maps: dict[int, int] = {}  # by the number of a mount, the user namespace that maps its IDs


def load(spec: Mapping[str, Any], filter_flags: int = 0, *, reaper: bool = False) -> Extras:
    """Return the steps of a container. Called in the stage, in the container's user namespace. Raises `RlError`.

    With `reaper` our own init stays above the command.
    """
    extras = Extras()
    linux = spec["linux"]
    for name, prepare in _OF_LINUX.items():
        if linux.get(name):
            prepare(spec, extras)
    for index, mount in enumerate(spec.get("mounts") or ()):
        if not _OF_MOUNTS.isdisjoint(mount.get("options") or ()) or mount.get("uidMappings") or mount.get("gidMappings"):
            _mount(index, mount, extras)
    _load_process(spec["process"], extras, filter_flags)
    if spec.get("hooks"):
        from rootless.runtime import hooks  # noqa: F401  # `init` uses it
    if reaper:
        from rootless.runtime import reaper as _loaded  # noqa: F401  # as hooks
    return extras


def load_process(process: Mapping[str, Any], linux: Mapping[str, Any], filter_flags: int = 0) -> list[Step]:
    """Return the steps before the change of user of one more process in a container. Called by who enters, before it does."""
    extras = Extras()
    affinity = process.get("execCPUAffinity") or {}
    if affinity:
        from rootless.runtime import scheduling

        scheduling.set_affinity(affinity.get("initial") or "", "process.execCPUAffinity.initial")
        last = affinity.get("final") or ""
        extras.before_user.append(lambda: scheduling.set_affinity(last, "process.execCPUAffinity.final"))
    for name in _OF_EVERY_PROCESS:
        if linux.get(name):
            _OF_LINUX[name]({"linux": linux}, extras)
    _load_process(process, extras, filter_flags)
    return extras.before_user


def _load_process(process: Mapping[str, Any], extras: Extras, filter_flags: int) -> None:
    for name, prepare in _OF_PROCESS.items():
        value = process.get(name)
        if value is not None and value not in ("", []):
            prepare(value, extras)
    if filter_flags & FILTER_FLAG_NEW_LISTENER:
        from rootless.runtime import seccomp_listener  # noqa: F401  # `process.become` uses it


def _mount(index: int, mount: Mapping[str, Any], extras: Extras) -> None:
    options = mount.get("options") or ()
    if COPY_UP in options:
        from rootless.runtime import copy_up  # noqa: F401  # `mounting` uses it
    if mount.get("uidMappings") or mount.get("gidMappings") or not ID_MAPS.keys().isdisjoint(options):
        from rootless.runtime import mount_id_maps

        extras.id_maps[index] = mount_id_maps.open_namespace(mount, f"mounts[{index}]")


def _sysctl(spec: Mapping[str, Any], extras: Extras) -> None:
    from rootless.runtime import sysctl

    parameters = sysctl.check(spec)
    extras.before_mounts.append(lambda: sysctl.write(parameters))


def _devices(spec: Mapping[str, Any], extras: Extras) -> None:
    from rootless.runtime import device_nodes

    extras.after_mounts.append(lambda root: device_nodes.make_all(root, spec["linux"]["devices"]))


def _time_offsets(spec: Mapping[str, Any], extras: Extras) -> None:
    """Set the clocks of the new time namespace, which takes offsets only until a process is in it (time_namespaces(7))."""
    lines = [
        f"{clock} {offset.get('secs', 0)} {offset.get('nanosecs', 0)}\n" for clock, offset in spec["linux"]["timeOffsets"].items()
    ]
    if any(entry["type"] == "time" and entry.get("path") for entry in spec["linux"]["namespaces"]):
        raise RlError("config.json: linux.timeOffsets: a time namespace that exists has offsets of its own")
    extras.after_unshare.append(lambda: _write_own("timens_offsets", "".join(lines), "linux.timeOffsets"))


def _personality(spec: Mapping[str, Any], extras: Extras) -> None:
    from rootless.linux import scheduling as kernel

    persona = kernel.PERSONALITIES[spec["linux"]["personality"]["domain"]]
    extras.before_user.append(lambda: kernel.set_personality(persona))


def _memory_policy(spec: Mapping[str, Any], extras: Extras) -> None:
    from rootless.runtime import scheduling

    extras.before_user.append(lambda: scheduling.set_memory_policy(spec["linux"]["memoryPolicy"]))


def _mount_label(spec: Mapping[str, Any], _extras: Extras) -> None:
    from rootless.runtime import labels

    labels.refuse_mount_label(spec["linux"]["mountLabel"])


def _intel_rdt(_spec: Mapping[str, Any], _extras: Extras) -> None:
    raise NodeLacks("config.json: linux.intelRdt: needs /sys/fs/resctrl, which is root's alone", "leave the property out")


def _net_devices(_spec: Mapping[str, Any], _extras: Extras) -> None:
    raise NodeLacks("config.json: linux.netDevices: only root can move the node's network devices", "leave the property out")


def _rlimits(value: Sequence[Mapping[str, Any]], extras: Extras) -> None:
    from rootless.linux import limits

    def set_all() -> None:
        for limit in value:
            name, soft, hard = limit["type"], limit["soft"], limit["hard"]
            try:
                limits.set_limit(name, soft, hard)
            except (OSError, ValueError) as error:
                reason = os.strerror(error.errno or 0) if isinstance(error, OSError) else str(error)
                raise RlError(
                    f"cannot set {name} to {soft} (soft) and {hard} (hard): {reason}",
                    f"a user may not raise a hard limit, which is {limits.get(name)[1]} here",
                ) from None

    extras.before_user.append(set_all)


def _scheduler(value: Mapping[str, Any], extras: Extras) -> None:
    from rootless.runtime import scheduling

    extras.before_user.append(lambda: scheduling.set_scheduler(value))


def _io_priority(value: Mapping[str, Any], extras: Extras) -> None:
    from rootless.runtime import scheduling

    extras.before_user.append(lambda: scheduling.set_io_priority(value))


def _oom_score_adj(value: int, _extras: Extras) -> None:
    """Set it at once: init inherits it, and would not be let to its own file, closed as it is."""
    _write_own("oom_score_adj", str(value), "process.oomScoreAdj")


def _apparmor(value: str, _extras: Extras) -> None:
    from rootless.runtime import labels

    labels.set_apparmor(value)


def _selinux(value: str, _extras: Extras) -> None:
    from rootless.runtime import labels

    labels.set_selinux(value)


def _write_own(name: str, text: str, place: str) -> None:
    """Write a file of the calling process in /proc."""
    try:
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        hints = {
            errno.EACCES: "a user may raise it, and lower it no further than where it was",
            errno.ERANGE: "the clock would leave its range",
        }
        reason = os.strerror(error.errno or 0)
        raise RlError(f"config.json: {place}: cannot set {text.strip()}: {reason}", hints.get(error.errno or 0)) from None


_OF_LINUX: Final[dict[str, Callable[[Mapping[str, Any], Extras], None]]] = {
    "devices": _devices,
    "intelRdt": _intel_rdt,
    "memoryPolicy": _memory_policy,
    "mountLabel": _mount_label,
    "netDevices": _net_devices,
    "personality": _personality,
    "sysctl": _sysctl,
    "timeOffsets": _time_offsets,
}
_OF_EVERY_PROCESS: Final = ("memoryPolicy", "personality")
_OF_PROCESS: Final[dict[str, Callable[[Any, Extras], None]]] = {
    "rlimits": _rlimits,  # first: what a priority may be depends on it
    "apparmorProfile": _apparmor,
    "ioPriority": _io_priority,
    "oomScoreAdj": _oom_score_adj,
    "scheduler": _scheduler,
    "selinuxLabel": _selinux,
}
