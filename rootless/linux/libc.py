"""The C library by ctypes: the one way from `rootless` to system calls that Python 3.11 does not wrap.

`call` raises `OSError` with the errno, the system call's name and the path it was about; hints for the user are added by callers
higher up. Numbers are for x86_64 and every architecture with the unified table (424 and above are the same everywhere).
"""

import ctypes
import os
from typing import TypeAlias

Argument: TypeAlias = "int | bytes | ctypes.Array[ctypes.c_char] | None"

_LIBC = ctypes.CDLL(None, use_errno=True)

MACHINE = os.uname().machine
"""As uname -m. Asked once: a process that takes on the personality LINUX32 is told of another machine, with the same numbers."""

_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}
_SYS_SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277}
_SYS_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219}

SYS_OPEN_TREE = 428
SYS_MOVE_MOUNT = 429
SYS_CLOSE_RANGE = 436
SYS_OPENAT2 = 437
SYS_MOUNT_SETATTR = 442


def sys_pivot_root() -> int:
    """Return the number of pivot_root(2), which the C library does not wrap."""
    return _SYS_PIVOT_ROOT[MACHINE]


def sys_seccomp() -> int:
    """Return the number of seccomp(2), which the C library does not wrap."""
    return _SYS_SECCOMP[MACHINE]


def sys_keyctl() -> int:
    """Return the number of keyctl(2), which the C library does not wrap."""
    return _SYS_KEYCTL[MACHINE]


def call(function: str, *arguments: "Argument", path: str | None = None) -> int:
    """Call a C library function that returns -1 and sets errno on failure.

    `arguments` are integers (passed as 64-bit), NUL-free bytes, None for a null pointer, or ctypes buffers.
    `path` is what the error names. Raises `OSError`.
    """
    converted = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result = int(getattr(_LIBC, function)(*converted))
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}", path)
    return result


def system_call(name: str, number: int, *arguments: "Argument", path: str | None = None) -> int:
    """Make the system call `number`; `name` is for the error. As `call` otherwise."""
    converted = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    _LIBC.syscall.restype = ctypes.c_long
    result = int(_LIBC.syscall(ctypes.c_long(number), *converted))
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}", path)
    return result


def buffer(content: bytes) -> "ctypes.Array[ctypes.c_char]":
    """Return a mutable C buffer that holds `content`."""
    return ctypes.create_string_buffer(content, len(content))


def overwrite(address: int, content: bytes) -> None:
    """Write `content` over this process's memory at `address`, which must be writable there."""
    ctypes.memmove(address, content, len(content))
