"""Docker's security defaults: capabilities, masked and read-only paths (moby, daemon/pkg/oci), as OCI objects.

A rootless container's capabilities hold in its own user namespace only; the sets are Docker's all the same.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Final

from rootless.errors import InvalidInput
from rootless.linux import capabilities

DEFAULT_CAPABILITIES: Final = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)

MASKED_PATHS: Final = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",  # GHSA-6fw5-f8r9-fgfm: a side channel on key strokes
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",  # GHSA-jq35-85cj-fj4p: a side channel on power
)

READONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_ALL: Final = "ALL"


def masked_paths(sys: str = "/sys") -> list[str]:
    """Return the masked paths on this node: `MASKED_PATHS` and each CPU's thermal_throttle, which exists on some machines."""
    cpus = f"{sys}/devices/system/cpu"
    # All CPUs of a machine have it or none: one stat where there are hundreds of CPUs and no such folder.
    if not os.path.isdir(f"{cpus}/cpu0/thermal_throttle"):
        return list(MASKED_PATHS)
    return [*MASKED_PATHS, *(f"/sys/devices/system/cpu/cpu{cpu}/thermal_throttle" for cpu in _possible_cpus(cpus))]


def _possible_cpus(folder: str) -> list[int]:
    """Return the CPU numbers in a list such as `0-3,8` (Documentation/admin-guide/cputopology.rst)."""
    with open(f"{folder}/possible", "rb") as file:
        ranges = file.read().decode().strip()
    cpus: list[int] = []
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


def container_capabilities(
    add: Sequence[str] = (), drop: Sequence[str] = (), *, privileged: bool = False, last: int | None = None
) -> list[str]:
    """Return the names that a container may have, for --cap-add, --cap-drop and --privileged as Docker combines them.

    `last` is the kernel's highest capability number: what it does not know is left out of ALL and refused by name; None asks
    the kernel where that is needed. Raises `InvalidInput` for an unknown capability.
    """
    if not privileged and not add and not drop:
        return list(DEFAULT_CAPABILITIES)
    known = capabilities.NAMES[: (capabilities.last_capability() if last is None else last) + 1]
    if privileged:
        return list(known)
    added = _normalized(add, known, "CapAdd")
    dropped = _normalized(drop, known, "CapDrop")
    if _ALL in added:
        return [name for name in known if name not in dropped]
    if _ALL in dropped:
        return added
    kept = [name for name in DEFAULT_CAPABILITIES if name not in dropped]
    return kept + [name for name in added if name not in kept]


def normalized_capabilities(names: Iterable[str], option: str) -> list[str]:
    """Return names as Docker shows them, in upper case with CAP_; `option` is for the error. Raises `InvalidInput`."""
    return _normalized(names, capabilities.NAMES[: capabilities.last_capability() + 1], option)


def _normalized(names: Iterable[str], known: Sequence[str], option: str) -> list[str]:
    """Return names in upper case with CAP_, once each; `ALL` stays."""
    result: list[str] = []
    for name in names:
        upper = name.upper()
        if upper != _ALL:
            upper = upper if upper.startswith("CAP_") else f"CAP_{upper}"
            if upper not in known:
                raise InvalidInput(f'invalid {option}: unknown capability: "{upper}"', "see capabilities(7) for the names")
        if upper not in result:
            result.append(upper)
    return result


def oci_capabilities(names: Sequence[str], uid: int) -> dict[str, list[str]]:
    """Return the OCI `process.capabilities` object for a process that starts as `uid` in the container.

    As in Docker, inheritable and ambient stay empty, and a user other than root has none in effect: what execve(2) would do.
    """
    if uid != 0:
        return {"bounding": list(names)}
    return {"bounding": list(names), "effective": list(names), "permitted": list(names)}
