"""Extended attributes (kernel: fs/overlayfs/xattrs.c). The overlay's own, `user.overlay.*`, are not the container's to see."""

import errno
import os
from typing import Final

from fuse_overlay.inodes import Inode

_PRIVATE: Final = b"user.overlay."


def is_private(attribute: bytes) -> bool:
    """Tell whether an attribute belongs to the overlay itself."""
    return attribute.startswith(_PRIVATE)


def list_names(inode: Inode) -> list[bytes]:
    """Return the names of the attributes that the union shows."""
    if inode.anchor >= 0:
        names = [os.fsencode(name) for name in os.listxattr(inode.path())]
    else:
        names = inode.folder.list_xattrs(inode.file)
    return [name for name in names if not is_private(name)]


def get(inode: Inode, attribute: bytes) -> bytes:
    """Return an attribute's value. Raises `OSError`, ENODATA when there is none."""
    if is_private(attribute):
        raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
    if inode.anchor >= 0:
        return os.getxattr(inode.path(), attribute)
    return inode.folder.get_xattr(inode.file, attribute)


def set_value(inode: Inode, attribute: bytes, value: bytes) -> None:
    """Set an attribute of a file of the upper."""
    _refuse_private(attribute)
    os.setxattr(inode.path(), attribute, value, follow_symlinks=inode.follows)


def remove(inode: Inode, attribute: bytes) -> None:
    """Remove an attribute of a file of the upper."""
    _refuse_private(attribute)
    os.removexattr(inode.path(), attribute, follow_symlinks=inode.follows)


def _refuse_private(attribute: bytes) -> None:
    if is_private(attribute):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
