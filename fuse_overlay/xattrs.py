"""Extended attributes (kernel: fs/overlayfs/xattrs.c). The overlay's own, `user.overlay.*`, are not the container's to see.

Nor are the notes of the flat form; a container that keeps such itself (an engine in it) has them under names that are prefixed.
"""

import errno
import os
from typing import Final

from fuse_overlay.inodes import Inode
from fuse_overlay.layer import DirectoryFolder
from fuse_overlay.noted import ATTRIBUTE, ATTRIBUTE_PREFIX

_PRIVATE: Final = b"user.overlay."
_ESCAPED: Final = ATTRIBUTE_PREFIX + ATTRIBUTE_PREFIX
# Their IDs are the disk's, and their masks would be the disk's modes.
_NOT_IN_FLAT: Final = b"system.posix_acl_"


def is_private(attribute: bytes) -> bool:
    """Tell whether an attribute on disk belongs to the overlay itself, and is not to be copied."""
    return attribute.startswith(_PRIVATE) or attribute == ATTRIBUTE


def list_names(inode: Inode) -> list[bytes]:
    """Return the names of the attributes that the union shows; none where the file system has none: other layers may have some."""
    try:
        if inode.anchor >= 0:
            names = [os.fsencode(name) for name in os.listxattr(inode.path())]
        else:
            names = inode.folder.list_xattrs(inode.file)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return []
        raise
    if _is_flat(inode):
        names = [_shown(name) for name in names if not name.startswith(ATTRIBUTE_PREFIX) or name.startswith(_ESCAPED)]
    return [name for name in names if not name.startswith(_PRIVATE)]


def get(inode: Inode, attribute: bytes) -> bytes:
    """Return an attribute's value. Raises `OSError`, ENODATA when there is none."""
    if attribute.startswith(_PRIVATE):
        raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
    name = _on_disk(inode, attribute)
    if inode.anchor >= 0:
        return os.getxattr(inode.path(), name)
    return inode.folder.get_xattr(inode.file, name)


def set_value(inode: Inode, attribute: bytes, value: bytes) -> None:
    """Set an attribute of a file of the upper."""
    _refuse_private(attribute)
    if attribute.startswith(_NOT_IN_FLAT) and _is_flat(inode):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    os.setxattr(inode.path(), _on_disk(inode, attribute), value, follow_symlinks=inode.follows)


def remove(inode: Inode, attribute: bytes) -> None:
    """Remove an attribute of a file of the upper."""
    _refuse_private(attribute)
    os.removexattr(inode.path(), _on_disk(inode, attribute), follow_symlinks=inode.follows)


def _refuse_private(attribute: bytes) -> None:
    if attribute.startswith(_PRIVATE):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def _is_flat(inode: Inode) -> bool:
    return isinstance(inode.folder, DirectoryFolder) and inode.folder.is_flat


def _on_disk(inode: Inode, attribute: bytes) -> bytes:
    return ATTRIBUTE_PREFIX + attribute if attribute.startswith(ATTRIBUTE_PREFIX) and _is_flat(inode) else attribute


def _shown(name: bytes) -> bytes:
    return name.removeprefix(ATTRIBUTE_PREFIX) if name.startswith(_ESCAPED) else name
