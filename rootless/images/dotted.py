"""Whiteouts and opaque marks that are files, in trees on disks without user xattrs (NFS before its version 4.2, for example).

`.wh.NAME` hides what the layers below have as NAME, unless there is a NAME beside it; `.wh..wh..opq` hides what they have in its
folder: the form that layers have in an image (image-spec layer.md, "Whiteouts"), which `fuse_overlay.nfs_folder` reads and writes.
Elsewhere such names are names like any other.
"""

import errno
import os
from typing import Final

PREFIX: Final = ".wh."
OPAQUE_MARK: Final = ".wh..wh..opq"
_PROBED: Final = "user.overlay.opaque"


def is_dotted(folder: int | str) -> bool:
    """Tell whether an open folder, or one at a path, has its marks in this form."""
    try:
        os.getxattr(folder, _PROBED)
    except OSError as error:
        return error.errno == errno.EOPNOTSUPP
    return False


def has_mark(folder: int | str, mark: str) -> bool:
    """Tell whether a folder has a mark in this form."""
    found = _exists(mark, folder) if isinstance(folder, int) else _exists(f"{folder}/{mark}", None)
    return found and is_dotted(folder)


def _exists(name: str, folder: int | None) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
