"""openat2(2): opening a path that another party controls without leaving its root."""

import errno
import os
import struct
from typing import Final

from rootless.linux.libc import SYS_OPENAT2, buffer, system_call

RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10

_OPEN_HOW = struct.Struct("=QQQ")  # flags, mode, resolve
_TRIES = 32


def open_in_root(root_fd: int, path: str | bytes, flags: int, mode: int = 0) -> int:
    """Open `path` as a process whose root is `root_fd` would, and return a descriptor (close-on-exec).

    Absolute paths, absolute symbolic links and `..` stay inside the root; magic links (/proc/PID/fd/N, …) are refused.
    Raises `OSError` (ELOOP: a magic link or too many links; EINVAL: a NUL in the path; ENOSYS: Linux before 5.6).
    """
    encoded = os.fsencode(path)
    shown = os.fsdecode(path)
    if b"\0" in encoded:  # C would end the path there and open another file
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), shown)
    how = buffer(_OPEN_HOW.pack(flags | os.O_CLOEXEC, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS))
    for tries_left in reversed(range(_TRIES)):
        try:
            return system_call("openat2", SYS_OPENAT2, root_fd, encoded, how, _OPEN_HOW.size, path=shown)
        except OSError as error:
            # The kernel cannot tell a `..` that raced with a rename from an escape, and asks to be called again.
            if error.errno != errno.EAGAIN or not tries_left:
                raise
    raise AssertionError("the loop returns or raises")


def real_path_in_root(root: str, path: str, flags: int = 0) -> str:
    """Return where `path` leads below the folder `root`, as `open_in_root` finds it; with O_DIRECTORY only a folder.

    Raises `OSError`.
    """
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        descriptor = open_in_root(folder, path, os.O_PATH | flags)
    finally:
        os.close(folder)
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
