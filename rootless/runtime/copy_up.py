"""tmpcopyup: filling a new tmpfs with what it hides (runc's option, in the specification since 1.1)."""

import errno
import os
import stat
from typing import Final

from rootless.linux.openat2 import open_in_root

_CHUNK: Final = 1 << 20
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# An attribute that the new file system does not have, or that a container's root may not set.
_NOT_KEPT: Final = (errno.ENOTSUP, errno.EPERM, errno.EINVAL)


def copy_tree(source: int, root: int, destination: str, mode: int | None) -> None:
    """Copy what the folder `source` holds to the folder at `destination` in `root`, mode, owner, times and attributes with it.

    `mode` is that of the folder itself where the mount's options name one. Links are copied, never followed. Device nodes are left
    out: a user cannot make any.
    """
    target = open_in_root(root, destination, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _copy_folder(source, target)
        if mode is not None:
            os.fchmod(target, mode)
    finally:
        os.close(target)


def _copy_folder(source: int, target: int) -> None:
    for name in os.listdir(source):
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            _copy_open(os.open(name, _FOLDER_FLAGS, dir_fd=source), os.open(name, _FOLDER_FLAGS, dir_fd=target), status)
        elif stat.S_ISREG(status.st_mode):
            made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target)
            _copy_open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source), made, status)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        elif stat.S_ISFIFO(status.st_mode):
            os.mkfifo(name, stat.S_IMODE(status.st_mode), dir_fd=target)
            os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    _copy_metadata(source, target, os.fstat(source))


def _copy_open(source: int, target: int, status: os.stat_result) -> None:
    try:
        if stat.S_ISDIR(status.st_mode):
            _copy_folder(source, target)
            return
        while os.sendfile(target, source, None, _CHUNK):
            pass
        _copy_metadata(source, target, status)
    finally:
        os.close(source)
        os.close(target)


def _copy_metadata(source: int, target: int, status: os.stat_result) -> None:
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source):
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in _NOT_KEPT:
                raise
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
