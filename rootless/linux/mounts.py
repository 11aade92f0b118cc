"""Mounts: mount(2), umount2(2), pivot_root(2) and the descriptor-based calls open_tree(2), move_mount(2), mount_setattr(2).

The descriptor-based calls never resolve a path of the container twice: what was opened safely is what is mounted upon.
"""

import os
import struct
from typing import Final

from rootless.linux import libc

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_SYNCHRONOUS: Final = 16
MS_REMOUNT: Final = 32
MS_MANDLOCK: Final = 64
MS_DIRSYNC: Final = 128
MS_NOSYMFOLLOW: Final = 256
MS_NOATIME: Final = 1024
MS_NODIRATIME: Final = 2048
MS_BIND: Final = 4096
MS_MOVE: Final = 8192
MS_REC: Final = 16384
MS_SILENT: Final = 1 << 15
MS_UNBINDABLE: Final = 1 << 17
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20
MS_RELATIME: Final = 1 << 21
MS_I_VERSION: Final = 1 << 23
MS_STRICTATIME: Final = 1 << 24
MS_LAZYTIME: Final = 1 << 25

MNT_DETACH: Final = 2

_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_AT_FDCWD = -100
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = 0o2000000
_MOVE_MOUNT_F_EMPTY_PATH = 4
_MOVE_MOUNT_T_EMPTY_PATH = 0x40

MOUNT_ATTR_RDONLY: Final = 1
MOUNT_ATTR_NOSUID: Final = 2
MOUNT_ATTR_NODEV: Final = 4
MOUNT_ATTR_NOEXEC: Final = 8
MOUNT_ATTR_RELATIME: Final = 0
MOUNT_ATTR_NOATIME: Final = 0x10
MOUNT_ATTR_STRICTATIME: Final = 0x20
MOUNT_ATTR__ATIME: Final = 0x70  # the field that holds one of the three above: to be cleared to set any of them
MOUNT_ATTR_NODIRATIME: Final = 0x80
MOUNT_ATTR_IDMAP: Final = 0x100000
MOUNT_ATTR_NOSYMFOLLOW: Final = 0x200000


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    """Mount a file system of type `kind` (mount(2))."""
    arguments = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    libc.call("mount", *arguments, flags, None if data is None else os.fsencode(data), path=target)


def unmount(target: str, flags: int = 0) -> None:
    """Unmount what is at `target` (umount2(2))."""
    libc.call("umount2", os.fsencode(target), flags, path=target)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` the root and hang the old one at `put_old`; both may be "." (pivot_root(2), NOTES)."""
    libc.system_call("pivot_root", libc.sys_pivot_root(), os.fsencode(new_root), os.fsencode(put_old), path=new_root)


def clone_tree(path: str, recursive: bool, directory: int | None = None) -> int:
    """Return a descriptor of a detached copy of the mount at `path` (with those below it, if recursive); the caller closes it.

    With `directory` and an empty path, the copy of what that descriptor refers to.
    """
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (_AT_RECURSIVE if recursive else 0) | (0 if path else _AT_EMPTY_PATH)
    where = _AT_FDCWD if directory is None else directory
    return libc.system_call("open_tree", libc.SYS_OPEN_TREE, where, os.fsencode(path), flags, path=path)


def attach_tree(tree: int, target: int, name: str) -> None:
    """Mount the detached tree upon the file or folder that the descriptor `target` refers to; `name` is for errors."""
    flags = _MOVE_MOUNT_F_EMPTY_PATH | _MOVE_MOUNT_T_EMPTY_PATH
    libc.system_call("move_mount", libc.SYS_MOVE_MOUNT, tree, b"", target, b"", flags, path=name)


def set_attributes(
    tree: int, attributes: int, recursive: bool, name: str, propagation: int = 0, *, clear: int = 0, id_map: int = 0
) -> None:
    """Set and clear MOUNT_ATTR_* and set the propagation (MS_PRIVATE, …, or 0: as is) of a mount (mount_setattr(2), Linux 5.12).

    `id_map` is the descriptor of the user namespace for MOUNT_ATTR_IDMAP. Raises `OSError` (EPERM: a flag that is locked, because
    the mount came from a more privileged mount namespace).
    """
    request = struct.pack("=QQQQ", attributes, clear, propagation, id_map)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    libc.system_call("mount_setattr", libc.SYS_MOUNT_SETATTR, tree, b"", flags, libc.buffer(request), len(request), path=name)
