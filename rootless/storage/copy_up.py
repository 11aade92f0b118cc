"""Giving an empty volume what the image has at its path, when a container first mounts it.

Runs in the container's user and mount namespaces with the container's root mounted, so it reads through any storage driver, and
owners are right in any ID map. Another container may do the same at the same time: the volume is locked, and the second finds it
full. `copying` is there from before the first file until after the last: who finds it with the lock knows that a copier was killed,
and goes on where that stopped. Each file appears under its name when it is whole. What is there already is kept.
"""

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from rootless.errors import InvalidInput
from rootless.linux.openat2 import open_in_root
from rootless.storage.vfs import copy_attributes, deep_trees

_MARK: Final = "copying"
_UNFINISHED: Final = ".unfinished.rl"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK: Final = 1 << 24
_NO_LOCKS: Final = frozenset({errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})


def copy_up(volume: str, target: str, root: int, path: str) -> None:
    """Copy what the root (a descriptor) has at `path` into the folder `target` of a volume, if that is empty.

    Owners, modes, times, xattrs and hard links are kept, the folder's own, too. Raises `InvalidInput` where the image has a file.
    """
    source = _open_source(root, path)
    if source is None:
        return
    try:
        with _locked(volume):
            mark = f"{volume}/{_MARK}"
            if os.listdir(target) and not os.path.exists(mark):
                return
            os.close(os.open(mark, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            copy_tree(source, target, volume)
            os.unlink(mark)
    finally:
        os.close(source)


def copy_tree(source: int, target: str, scratch: str) -> None:
    """Copy the open folder `source` into the folder `target`; unfinished files are in `scratch`, if that is on one disk with it."""
    top = os.open(target, _FOLDER)
    aside = os.open(scratch if os.stat(scratch).st_dev == os.fstat(top).st_dev else target, _FOLDER)
    try:
        with deep_trees():
            _copy_folder(source, top, _Copy(top, aside, {}, ""))
        copy_attributes(source, top, os.fstat(source))
    finally:
        os.close(top)
        os.close(aside)


class _Copy(NamedTuple):
    """One copy under way: its top, the folder for unfinished files, the first names of files with several, and where it is now."""

    top: int
    aside: int
    first_names: dict[int, str]
    where: str


def _open_source(root: int, path: str) -> int | None:
    try:
        return open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        text = f"cannot mount volume over existing file, file exists {path}"
        raise InvalidInput(text, "choose another path in the container") from None


@contextlib.contextmanager
def _locked(volume: str) -> Iterator[None]:
    descriptor = os.open(volume, _FOLDER)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:  # a file system that locks no folders: two may copy at once, which makes the same files
            if error.errno not in _NO_LOCKS:
                raise
        yield
    finally:
        os.close(descriptor)


def _copy_folder(source: int, target: int, copy: _Copy) -> None:
    for name in os.listdir(source):
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            _copy_subfolder(source, target, name, copy)
        elif not _exists(target, name):
            _copy_leaf(source, target, name, status, copy)


def _copy_subfolder(source: int, target: int, name: str, copy: _Copy) -> None:
    with contextlib.suppress(FileExistsError):  # of a copy that was interrupted
        os.mkdir(name, 0o700, dir_fd=target)
    inner_source, inner_target = os.open(name, _FOLDER, dir_fd=source), -1
    try:
        inner_target = os.open(name, _FOLDER, dir_fd=target)
        _copy_folder(inner_source, inner_target, copy._replace(where=f"{copy.where}{name}/"))
        copy_attributes(inner_source, inner_target, os.fstat(inner_source))
    finally:
        os.close(inner_source)
        if inner_target >= 0:
            os.close(inner_target)


def _copy_leaf(source: int, target: int, name: str, status: os.stat_result, copy: _Copy) -> None:
    first_name = copy.first_names.get(status.st_ino) if status.st_nlink > 1 else None
    if first_name is not None:
        os.link(first_name, name, src_dir_fd=copy.top, dst_dir_fd=target, follow_symlinks=False)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_UNFINISHED, dir_fd=copy.aside)
    if stat.S_ISREG(status.st_mode):
        _copy_file(source, name, copy.aside)
    else:
        _copy_special(source, name, status, copy.aside)
    os.rename(_UNFINISHED, name, src_dir_fd=copy.aside, dst_dir_fd=target)
    if status.st_nlink > 1:
        copy.first_names[status.st_ino] = copy.where + name


def _copy_file(source: int, name: str, aside: int) -> None:
    reading = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    writing = -1
    try:
        writing = os.open(_UNFINISHED, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=aside)
        while os.sendfile(writing, reading, None, _CHUNK):  # None: from where it is
            pass
        copy_attributes(reading, writing, os.fstat(reading))
    finally:
        os.close(reading)
        if writing >= 0:
            os.close(writing)


def _copy_special(source: int, name: str, status: os.stat_result, aside: int) -> None:
    """Copy a symbolic link, a FIFO or a socket; devices are never unpacked."""
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), _UNFINISHED, dir_fd=aside)
    else:
        os.mknod(_UNFINISHED, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=aside)
    os.chown(_UNFINISHED, status.st_uid, status.st_gid, dir_fd=aside, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(f"/proc/self/fd/{aside}/{_UNFINISHED}", stat.S_IMODE(status.st_mode))
    os.utime(_UNFINISHED, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=aside, follow_symlinks=False)


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
