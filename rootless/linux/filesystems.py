"""What kind of file system a descriptor lies in: fstatfs(2)."""

from typing import Final

from rootless.linux import libc

PROC: Final = 0x9FA0
"""PROC_SUPER_MAGIC (include/uapi/linux/magic.h)."""

_STATFS_SIZE: Final = 256  # bytes; struct statfs has 120 on 64-bit machines and begins with the type


def type_of(descriptor: int) -> int:
    """Return the magic number of a descriptor's file system. Raises `OSError`."""
    result = libc.buffer(bytes(_STATFS_SIZE))
    libc.call("fstatfs", descriptor, result)
    return int.from_bytes(result.raw[:8], "little")
