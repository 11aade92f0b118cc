"""renameat2(2), which Python does not wrap. Only this file uses ctypes, and is imported when first needed (10 ms)."""

import ctypes
import os
from typing import Final

EXCHANGE: Final = 2
WHITEOUT: Final = 4

_libc = ctypes.CDLL(None, use_errno=True)


def renameat2(from_folder: int, from_name: bytes, to_folder: int, to_name: bytes, flags: int) -> None:
    """Rename with the flags EXCHANGE or WHITEOUT. Raises `OSError`; EINVAL where the file system knows no such flag."""
    if _libc.renameat2(from_folder, from_name, to_folder, to_name, ctypes.c_uint(flags)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"renameat2: {os.strerror(number)}", os.fsdecode(to_name))
