"""Installing a compiled seccomp filter in the calling thread (seccomp(2), Documentation/userspace-api/seccomp_filter.rst)."""

import ctypes
import struct
from typing import Final

from rootless.linux.libc import buffer, call, sys_seccomp, system_call

FILTER_FLAG_TSYNC: Final = 1 << 0
FILTER_FLAG_LOG: Final = 1 << 1
FILTER_FLAG_SPEC_ALLOW: Final = 1 << 2
FILTER_FLAG_NEW_LISTENER: Final = 1 << 3
FILTER_FLAG_TSYNC_ESRCH: Final = 1 << 4
FILTER_FLAG_WAIT_KILLABLE_RECV: Final = 1 << 5

INSTRUCTION_SIZE: Final = 8
"""Bytes of one struct sock_filter."""

MAX_INSTRUCTIONS: Final = 4096
"""BPF_MAXINSNS."""

_SET_MODE_FILTER = 1
_PR_SET_NO_NEW_PRIVS = 38
_PR_GET_NO_NEW_PRIVS = 39
_PROGRAM = struct.Struct("@HP")  # struct sock_fprog: number of instructions, their address


class _Version(ctypes.Structure):
    """struct scmp_version."""

    _fields_ = (("major", ctypes.c_uint), ("minor", ctypes.c_uint), ("micro", ctypes.c_uint))


def set_no_new_privs() -> None:
    """Forbid this process and its children to gain privileges by execve; there is no way back. Raises `OSError`."""
    call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def no_new_privs() -> bool:
    """Return whether no_new_privs is set."""
    return bool(call("prctl", _PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))


def install(program: bytes, flags: int = 0) -> int:
    """Install a BPF program (an array of struct sock_filter in native byte order) with FILTER_FLAG_… `flags`.

    Needs no_new_privs, or CAP_SYS_ADMIN in the thread's user namespace: a container without no_new_privs installs
    before it drops that capability. Returns the listener's descriptor with FILTER_FLAG_NEW_LISTENER, else 0.
    Raises `OSError` (EINVAL: not a valid program, or an unknown flag; EACCES: neither privilege; ESRCH: TSYNC failed).
    """
    instructions = buffer(program)
    argument = buffer(_PROGRAM.pack(len(program) // INSTRUCTION_SIZE, ctypes.addressof(instructions)))
    return system_call("seccomp", sys_seccomp(), _SET_MODE_FILTER, flags, argument)


def library_version() -> str:
    """Return libseccomp's version as `2.5.4`, or "" where it is not installed (0.7 ms)."""
    try:
        library = ctypes.CDLL("libseccomp.so.2")
    except OSError:  # dlopen has no errno: the library is missing, which the caller reports when it has to compile
        return ""
    library.seccomp_version.restype = ctypes.POINTER(_Version)
    version = library.seccomp_version().contents
    return f"{version.major}.{version.minor}.{version.micro}"
