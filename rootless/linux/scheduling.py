"""What the kernel's schedulers are told of a process: sched_setattr(2), ioprio_set(2), set_mempolicy(2), personality(2)."""

import struct
from typing import Final

from rootless.linux import libc

POLICIES: Final = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
FLAGS: Final = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
IO_CLASSES: Final = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
MEMORY_POLICIES: Final = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
MEMORY_POLICY_FLAGS: Final = {
    "MPOL_F_STATIC_NODES": 1 << 15,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_NUMA_BALANCING": 1 << 13,
}
PERSONALITIES: Final = {"LINUX": 0, "LINUX32": 8}

_NUMBERS: Final = {
    "x86_64": {"sched_setattr": 314, "ioprio_set": 251, "set_mempolicy": 238},
    "aarch64": {"sched_setattr": 274, "ioprio_set": 30, "set_mempolicy": 237},
    "riscv64": {"sched_setattr": 274, "ioprio_set": 30, "set_mempolicy": 237},
}
# struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period (ns), util_min, util_max
_SCHED_ATTR: Final = struct.Struct("=IIQiIQQQII")
_IOPRIO_WHO_PROCESS: Final = 1
_IOPRIO_CLASS_SHIFT: Final = 13
_MAX_NODES: Final = 1024  # bits of the mask that is passed


def _system_call(name: str, *arguments: libc.Argument) -> int:
    return libc.system_call(name, _NUMBERS[libc.MACHINE][name], *arguments)


def set_scheduler(policy: int, flags: int, nice: int, priority: int, runtime: int = 0, deadline: int = 0, period: int = 0) -> None:
    """Set the calling thread's scheduling policy; times are in nanoseconds. Raises `OSError`."""
    attributes = _SCHED_ATTR.pack(_SCHED_ATTR.size, policy, flags, nice, priority, runtime, deadline, period, 0, 0)
    _system_call("sched_setattr", 0, libc.buffer(attributes), 0)


def set_io_priority(io_class: int, priority: int) -> None:
    """Set the calling thread's I/O class, and its priority in there (0 is the highest, 7 the lowest). Raises `OSError`."""
    _system_call("ioprio_set", _IOPRIO_WHO_PROCESS, 0, io_class << _IOPRIO_CLASS_SHIFT | priority)


def set_memory_policy(mode: int, nodes: set[int]) -> None:
    """Set the calling thread's NUMA policy: `mode` with its flags, and the nodes. Raises `OSError`."""
    if not nodes:
        _system_call("set_mempolicy", mode, None, 0)
        return
    mask = sum(1 << node for node in nodes if node < _MAX_NODES)
    _system_call("set_mempolicy", mode, libc.buffer(mask.to_bytes(_MAX_NODES // 8, "little")), _MAX_NODES)


def set_personality(persona: int) -> None:
    """Set the process's execution domain. Raises `OSError`."""
    libc.call("personality", persona)
