"""Capabilities: their names and numbers, and the five sets of a process (capabilities(7), version 3 of capset(2)).

A set is an `int` used as a bit mask: bit N is capability number N, as in `CapEff:` of /proc/PID/status.
"""

import errno
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

from rootless.linux.libc import buffer, call

NAMES: Final = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
"""The names by number (include/uapi/linux/capability.h)."""

NUMBERS: Final = {name: number for number, name in enumerate(NAMES)}

_VERSION_3: Final = 0x20080522
_HEADER = struct.Struct("=Ii")  # version, pid (0: this thread)
_DATA = struct.Struct("=6I")  # effective, permitted, inheritable of bits 0-31, then of bits 32-63

_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_IS_SET = 1
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4

_MASK_32 = 0xFFFFFFFF


class CapabilitySets(NamedTuple):
    """The three sets that capset(2) changes, each as a bit mask."""

    effective: int
    permitted: int
    inheritable: int


def to_mask(names: Iterable[str]) -> int:
    """Return the bit mask of capability names. Raises `KeyError` for an unknown name."""
    mask = 0
    for name in names:
        mask |= 1 << NUMBERS[name]
    return mask


def from_mask(mask: int) -> list[str]:
    """Return the names in a bit mask by ascending number; bits that have no name here are left out."""
    return [name for number, name in enumerate(NAMES) if mask >> number & 1]


def last_capability() -> int:
    """Return the running kernel's highest capability number, by asking for each: a container's /proc could tell anything."""
    number = len(NAMES) - 1
    while _is_known(number + 1):
        number += 1
    while not _is_known(number):
        number -= 1
    return number


def _is_known(number: int) -> bool:
    """Tell whether the kernel has a capability with this number (prctl(2), PR_CAPBSET_READ)."""
    try:
        call("prctl", _PR_CAPBSET_READ, number, 0, 0, 0)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return False
    return True


def get() -> CapabilitySets:
    """Return the calling thread's sets. Raises `OSError`."""
    data = buffer(bytes(_DATA.size))
    call("capget", buffer(_HEADER.pack(_VERSION_3, 0)), data)
    low = _DATA.unpack(data.raw)
    return CapabilitySets(*(low[index] | low[index + 3] << 32 for index in range(3)))


def set_process(effective: int, permitted: int, inheritable: int) -> None:
    """Set the calling thread's three sets. Raises `OSError` (EPERM: more than it is permitted)."""
    sets = (effective, permitted, inheritable)
    data = _DATA.pack(*(one & _MASK_32 for one in sets), *(one >> 32 & _MASK_32 for one in sets))
    call("capset", buffer(_HEADER.pack(_VERSION_3, 0)), buffer(data))


def keep_over_change_of_user() -> None:
    """Keep the permitted set when the thread's user IDs change from 0 to others; until execve. Raises `OSError`."""
    call("prctl", _PR_SET_KEEPCAPS, 1, 0, 0, 0)


def bounding(last: int) -> int:
    """Return the bounding set up to capability number `last`."""
    return sum(1 << number for number in range(last + 1) if call("prctl", _PR_CAPBSET_READ, number, 0, 0, 0))


def limit_bounding(keep: int) -> None:
    """Drop every capability that is not in `keep` from the bounding set.

    Needs CAP_SETPCAP unless there is nothing to drop. What the kernel knows and `NAMES` does not is dropped as well.
    Raises `OSError`.
    """
    for number in range(last_capability() + 1):
        if not keep >> number & 1 and call("prctl", _PR_CAPBSET_READ, number, 0, 0, 0):
            call("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0)


def set_ambient(mask: int) -> None:
    """Make the ambient set exactly `mask`; each must be permitted and inheritable already. Raises `OSError`."""
    call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(mask.bit_length()):
        if mask >> number & 1:
            call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0)


def ambient(last: int) -> int:
    """Return the ambient set up to capability number `last`."""
    return sum(1 << number for number in range(last + 1) if call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_IS_SET, number, 0, 0))
