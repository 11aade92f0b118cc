"""Resource limits by the names that OCI has for them (setrlimit(2))."""

import resource
from typing import Final

NUMBERS: Final = {
    "RLIMIT_CPU": 0,
    "RLIMIT_FSIZE": 1,
    "RLIMIT_DATA": 2,
    "RLIMIT_STACK": 3,
    "RLIMIT_CORE": 4,
    "RLIMIT_RSS": 5,
    "RLIMIT_NPROC": 6,
    "RLIMIT_NOFILE": 7,
    "RLIMIT_MEMLOCK": 8,
    "RLIMIT_AS": 9,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_SIGPENDING": 11,
    "RLIMIT_MSGQUEUE": 12,
    "RLIMIT_NICE": 13,
    "RLIMIT_RTPRIO": 14,
    "RLIMIT_RTTIME": 15,
}
"""Number by name (include/uapi/asm-generic/resource.h)."""

_MAX_SIGNED: Final = (1 << 63) - 1


def get(name: str) -> tuple[int, int]:
    """Return the soft and hard limit; all ones, 2**64-1, means none."""
    soft, hard = resource.getrlimit(NUMBERS[name])
    return soft % (1 << 64), hard % (1 << 64)


def set_limit(name: str, soft: int, hard: int) -> None:
    """Set the calling process's soft and hard limit, unsigned 64-bit numbers. Raises `OSError`, `ValueError` (soft above hard)."""
    resource.setrlimit(NUMBERS[name], (_signed(soft), _signed(hard)))


def _signed(value: int) -> int:
    """Return the number with the same bits that Python's module takes."""
    return value if value <= _MAX_SIGNED else value - (1 << 64)
