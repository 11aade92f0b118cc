"""The standard streams of a container's process, where it has no terminal."""

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from typing import Final

from rootless.linux.openat2 import open_in_root

_NULL_DEVICE: Final = os.makedev(1, 3)


def connect(descriptors: Sequence[int], uid: int, root: int) -> None:
    """Make `descriptors` the caller's standard streams, and give them to the container's user; -1 is the /dev/null of `root`.

    A pipe belongs to who made it, and a process of another user could not open it again by /dev/stdout. What cannot be given (a
    file of somebody who is not mapped, a read-only file system) stays as it is, as with runc.
    """
    for stream, descriptor in enumerate(descriptors):
        if descriptor >= 0:
            os.dup2(descriptor, stream)
        else:
            null = open_in_root(root, "/dev/null", os.O_RDWR | os.O_NOCTTY)
            os.dup2(null, stream)
            os.close(null)
        _give(stream, uid)


def open_to_all(descriptors: Sequence[int]) -> None:
    """Let every user open those of the descriptors again that are pipes of ours: their owner is nobody in the container.

    Such a pipe has no name but in /proc/PID/fd, which only who may look into the process can use.
    """
    for descriptor in descriptors:
        if descriptor >= 0 and os.readlink(f"/proc/self/fd/{descriptor}").startswith("pipe:"):
            with contextlib.suppress(PermissionError):  # of somebody else
                os.fchmod(descriptor, 0o666)


def _give(stream: int, uid: int) -> None:
    status = os.fstat(stream)
    if uid in (0, status.st_uid) or (stat.S_ISCHR(status.st_mode) and status.st_rdev == _NULL_DEVICE):
        return
    try:
        os.fchown(stream, uid, -1)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EINVAL, errno.EROFS):
            raise
