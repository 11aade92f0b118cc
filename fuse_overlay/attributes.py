"""Attributes: from a status on disk to what FUSE is told, and their change (kernel: fs/overlayfs/inode.c)."""

import errno
import os
import stat
from typing import Any, Final

from fuse_overlay import copy_up
from fuse_overlay.inodes import Directory, Inode
from fuse_overlay.standins import pyfuse3
from fuse_overlay.union import Union

# We are the only writer, so the kernel may believe for ever what it was told, also that a name is absent.
FOREVER: Final = 1 << 31
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID


def entry_of(union: Union, inode: Inode, status: os.stat_result) -> Any:
    """Return the `pyfuse3.EntryAttributes` of an inode."""
    entry = pyfuse3.EntryAttributes()
    mode = status.st_mode
    entry.st_ino = inode.number
    entry.entry_timeout = FOREVER
    # A write takes set-ID bits away on disk, where the kernel's FUSE does not see it: of these files it asks each time.
    entry.attr_timeout = 0 if has_set_id(mode) else FOREVER
    entry.st_mode = mode
    # find(1) takes 1 to mean that the number of subdirectories is not known.
    entry.st_nlink = 1 if isinstance(inode, Directory) and inode.lowers else status.st_nlink
    if inode.folder is union.work:  # deleted: its name there is not the container's
        entry.st_nlink = status.st_nlink - 1
    user, group = union.ownership[:2]
    entry.st_uid = status.st_uid if user is None else user
    entry.st_gid = status.st_gid if group is None else group
    entry.st_rdev = status.st_rdev
    entry.st_size = status.st_size
    entry.st_blocks = status.st_blocks
    entry.st_blksize = status.st_blksize
    entry.st_atime_ns = status.st_atime_ns
    entry.st_mtime_ns = status.st_mtime_ns
    entry.st_ctime_ns = status.st_ctime_ns
    return entry


def reference(inode: Inode) -> Any:
    """Return what a listing tells of itself and the directory above it: the kernel takes no attributes from there."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = inode.number
    entry.st_mode = inode.kind
    return entry


def absent() -> Any:
    """Return what says that a name is absent, for the kernel to remember."""
    entry = pyfuse3.EntryAttributes()
    entry.st_ino = 0
    entry.entry_timeout = FOREVER
    return entry


def has_set_id(mode: int) -> bool:
    """Tell whether a file of that mode changes IDs when executed."""
    return stat.S_ISREG(mode) and bool(mode & _SET_ID)


def change(union: Union, inode: Inode, wanted: Any, fields: Any, handle: int | None) -> os.stat_result:
    """Set what `fields` names to the values in `wanted`, after copy-up; return the new status."""
    if not inode.in_upper and _changes_nothing(inode, wanted, fields):
        return inode.status()
    copy_up.file(union, inode, wanted.st_size if fields.update_size else None)
    if fields.update_size:
        _truncate(inode, wanted.st_size, handle)
        union.owners.written(inode.path(), follows=inode.follows)
    if fields.update_uid or fields.update_gid:
        user, group = wanted.st_uid if fields.update_uid else -1, wanted.st_gid if fields.update_gid else -1
        union.owners.chown(inode.path(), user, group, follows=inode.follows)
    if fields.update_mode:
        _chmod(union, inode, stat.S_IMODE(wanted.st_mode))
    if fields.update_atime or fields.update_mtime:
        status = inode.status()
        _set_times(
            inode,
            wanted.st_atime_ns if fields.update_atime else status.st_atime_ns,
            wanted.st_mtime_ns if fields.update_mtime else status.st_mtime_ns,
        )
    return inode.status()


def _changes_nothing(inode: Inode, wanted: Any, fields: Any) -> bool:
    """Tell whether only times are set, and to what they are: the kernel does so for the ctime of a file that has lost a name."""
    if fields.update_size or fields.update_uid or fields.update_gid or fields.update_mode:
        return False
    status = inode.status()
    return (not fields.update_atime or wanted.st_atime_ns == status.st_atime_ns) and (
        not fields.update_mtime or wanted.st_mtime_ns == status.st_mtime_ns
    )


def _truncate(inode: Inode, size: int, handle: int | None) -> None:
    if handle is not None:
        os.ftruncate(handle, size)
        return
    flags = os.O_WRONLY | os.O_CLOEXEC | (0 if inode.follows else os.O_NOFOLLOW)
    descriptor = os.open(inode.path(), flags)
    try:
        os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


def _chmod(union: Union, inode: Inode, mode: int) -> None:
    """Change the mode; chmod(2) would follow a symlink, so a symlink's is refused, as other file systems do."""
    if inode.kind == stat.S_IFLNK:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    union.owners.chmod(inode.path(), mode, follows=inode.follows)


def _set_times(inode: Inode, access: int, modification: int) -> None:
    os.utime(inode.path(), ns=(access, modification), follow_symlinks=inode.follows)
