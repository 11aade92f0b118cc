"""Whiteouts: the upper's word that a name of the layers below is gone (kernel: fs/overlayfs/dir.c, ovl_whiteout).

The form is the kernel's: a character device 0:0, which any root of a user namespace may make, or, where the file system has no
devices, an empty file with `user.overlay.whiteout` in a folder whose `user.overlay.opaque` is "x". Where there are no user xattrs,
it is that of `nfs_folder`.
"""

import errno
import os
import stat
from typing import Final

from fuse_overlay.exchange import put
from fuse_overlay.layer import DirectoryFolder, Opacity
from fuse_overlay.union import Union

_ATTRIBUTE: Final = b"user.overlay.whiteout"
_NO_DEVICES: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL)


def make(union: Union, folder: DirectoryFolder, name: bytes) -> None:
    """Make a whiteout where `folder`, of the upper, has nothing."""
    try:
        folder.white_out(name)
    except OSError as error:
        if error.errno not in _NO_DEVICES:
            raise
        temporary = _make_marked_file(union, folder)
        os.rename(temporary, name, src_dir_fd=union.work.descriptor, dst_dir_fd=folder.descriptor)


def replace(union: Union, folder: DirectoryFolder, name: bytes) -> None:
    """Put a whiteout in the place of a file of the upper, in one step."""
    if folder.dotted:
        folder.white_out(name)
        os.unlink(name, dir_fd=folder.descriptor)
        return
    temporary = union.temporary_name()
    try:
        union.work.white_out(temporary)
    except OSError as error:
        if error.errno not in _NO_DEVICES:
            raise
        temporary = _make_marked_file(union, folder)
    os.rename(temporary, name, src_dir_fd=union.work.descriptor, dst_dir_fd=folder.descriptor)


def replace_directory(union: Union, folder: DirectoryFolder, name: bytes) -> bytes:
    """Put a whiteout in the place of a directory of the upper, in one step; return the directory's name in the work folder."""
    temporary = union.temporary_name()
    if folder.dotted:
        folder.white_out(name)
        os.rename(name, temporary, src_dir_fd=folder.descriptor, dst_dir_fd=union.work.descriptor)
        return temporary
    make(union, union.work, temporary)
    if stat.S_ISREG(os.stat(temporary, dir_fd=union.work.descriptor, follow_symlinks=False).st_mode):
        _mark_folder(folder)
    return put(union, temporary, folder, name)


def is_at(folder: DirectoryFolder, name: bytes) -> bool:
    """Tell whether `folder` has a whiteout of that name."""
    status = folder.find(name)
    return status is not None and folder.is_whiteout(name, status)


def check_name(folder: DirectoryFolder, name: bytes) -> None:
    """Refuse to make a file whose name would make it a whiteout."""
    if folder.dotted and name.startswith(b".wh."):
        raise OSError(errno.EINVAL, "a whiteout", name)


def clear(folder: DirectoryFolder) -> None:
    """Delete the whiteouts of a folder of the upper, which holds nothing else, after hiding what they hid."""
    names = folder.names()
    if names:
        folder.set_opacity(Opacity.OPAQUE)
        for name in names:
            os.unlink(name, dir_fd=folder.descriptor)


def _make_marked_file(union: Union, folder: DirectoryFolder) -> bytes:
    temporary = union.temporary_name()
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=union.work.descriptor))
    os.setxattr(union.work.path(temporary), _ATTRIBUTE, b"y", follow_symlinks=False)
    _mark_folder(folder)
    return temporary


def _mark_folder(folder: DirectoryFolder) -> None:
    """Let whiteouts that are files be recognized in `folder`."""
    if folder.opacity() is Opacity.NONE:
        folder.set_opacity(Opacity.WHITEOUTS)
