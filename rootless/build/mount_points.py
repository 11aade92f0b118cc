"""What a step's mounts leave behind in its upper: the empty files and folders that they were mounted upon."""

import errno
import os
import stat
from collections.abc import Sequence
from typing import Final

_KEPT: Final = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def remove_mount_points(upper: str, layers: Sequence[str], places: Sequence[str]) -> None:
    """Remove the places, and the folders above them, that are empty and that no layer has. Runs in the parent namespace."""
    for place in places:
        path = place.strip("/")
        while path and not any(os.path.lexists(f"{layer}/{path}") for layer in layers):
            if not _removed(f"{upper}/{path}"):
                break
            path = path.rpartition("/")[0]


def _removed(path: str) -> bool:
    """Remove an empty file or folder, if it is there; False where something is in it."""
    try:
        status = os.lstat(path)
        if stat.S_ISREG(status.st_mode) and status.st_size == 0:
            os.unlink(path)
        else:
            os.rmdir(path)
    except OSError as error:
        if error.errno not in (*_KEPT, errno.ENOENT):
            raise
        return error.errno == errno.ENOENT
    return True
