"""The driver `vfs`: every container has a copy of its image's files, where neither overlay nor FUSE works.

The copy is made once, in the upper; files are shared with the layer by reflink where the file system can (ioctl_ficlone(2)). Layers
are applied bottom up by the rules of the kernel overlay's on-disk form: a character device 0:0 hides a name, a folder with
`user.overlay.opaque` = y hides everything below it.
"""

import contextlib
import errno
import fcntl
import os
import resource
import stat
import sys
from collections.abc import Iterator
from typing import NamedTuple

from rootless.images import dotted
from rootless.images.removal import remove_tree
from rootless.linux import mounts
from rootless.storage.root_filesystem import RootFilesystem

name = "vfs"

_FICLONE = 0x40049409
_OPAQUE = "user.overlay.opaque"
_COPY_CHUNK = 1 << 24
_COMPLETE = "upper.complete"
_FRAMES = 100_000  # of Python, which are on the heap


def mount(root: RootFilesystem) -> list[int]:
    """Copy the layers into the upper, unless an earlier start did, and bind the upper to the mount point."""
    if not is_copied(root.container_folder):
        copy_layers(root)
        complete = f"{root.container_folder}/{_COMPLETE}"
        os.close(os.open(complete, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    mounts.mount(root.upper, root.mount_point, None, mounts.MS_BIND)
    return []


def is_copied(container_folder: str) -> bool:
    """Tell whether a container's upper holds all of its image's files."""
    return os.path.exists(f"{container_folder}/{_COMPLETE}")


@contextlib.contextmanager
def deep_trees() -> Iterator[None]:
    """Let a recursion go as deep as the trees of images do: some frames and two descriptors a level, within the hard limit."""
    frames, limits = sys.getrecursionlimit(), resource.getrlimit(resource.RLIMIT_NOFILE)
    sys.setrecursionlimit(max(frames, _FRAMES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    try:
        yield
    finally:
        sys.setrecursionlimit(frames)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def copy_layers(root: RootFilesystem) -> None:
    """Apply all layers to the upper, as root of a namespace that has their owners' IDs."""
    with deep_trees():
        _apply_layers(root)


def _apply_layers(root: RootFilesystem) -> None:
    target = os.open(root.upper, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for layer in reversed(root.layers):
            source = os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _apply_folder(source, target, _Links(target, {}, ""))
            finally:
                os.close(source)
    finally:
        os.close(target)


class _Links(NamedTuple):
    """Files of one layer with several names: where the first was copied to, and the folder that is being copied."""

    top: int
    first_names: dict[int, str]
    where: str


def _apply_folder(source: int, target: int, links: _Links) -> None:
    """Apply what the folder `source` holds to `target`."""
    for entry_name in _without_marks(source, target, os.listdir(source)):
        status = os.stat(entry_name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            _remove(target, entry_name)
        elif stat.S_ISDIR(status.st_mode):
            _apply_subfolder(source, target, entry_name, status, links)
        else:
            _remove(target, entry_name)
            _copy_leaf(source, target, entry_name, status, links)


def _without_marks(source: int, target: int, names: list[str]) -> list[str]:
    """Return the names in a folder but for whiteouts that are files, after removing what they hide."""
    if not any(entry_name.startswith(dotted.PREFIX) for entry_name in names) or not dotted.is_dotted(source):
        return names
    marks = {entry_name for entry_name in names if entry_name.startswith(dotted.PREFIX)}
    for mark in marks - {dotted.OPAQUE_MARK}:
        if mark.removeprefix(dotted.PREFIX) not in names:
            _remove(target, mark.removeprefix(dotted.PREFIX))
    return [entry_name for entry_name in names if entry_name not in marks]


def _is_opaque(folder: int) -> bool:
    return _get_xattr(folder, _OPAQUE) == b"y" or dotted.has_mark(folder, dotted.OPAQUE_MARK)


def _apply_subfolder(
    source: int, target: int, entry_name: str, status: os.stat_result, links: _Links
) -> None:
    inner_source = _open_folder(source, entry_name)
    try:
        if _is_opaque(inner_source) or not _is_folder(target, entry_name):
            _remove(target, entry_name)
            os.mkdir(entry_name, 0o700, dir_fd=target)
        inner_target = _open_folder(target, entry_name)
        try:
            _apply_folder(inner_source, inner_target, links._replace(where=f"{links.where}{entry_name}/"))
            copy_attributes(inner_source, inner_target, status)
        finally:
            os.close(inner_target)
    finally:
        os.close(inner_source)


def _copy_leaf(source: int, target: int, entry_name: str, status: os.stat_result, links: _Links) -> None:
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(entry_name, dir_fd=source), entry_name, dir_fd=target)
        os.chown(entry_name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        os.utime(entry_name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)
        return
    first_name = links.first_names.get(status.st_ino)
    if first_name is not None:
        os.link(first_name, entry_name, src_dir_fd=links.top, dst_dir_fd=target, follow_symlinks=False)
        return
    if stat.S_ISREG(status.st_mode):
        _copy_file(source, target, entry_name, status)
    else:
        os.mknod(entry_name, stat.S_IFMT(status.st_mode) | 0o600, status.st_rdev, dir_fd=target)
        os.chown(entry_name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
        os.chmod(f"/proc/self/fd/{target}/{entry_name}", stat.S_IMODE(status.st_mode))
        os.utime(entry_name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)
    if status.st_nlink > 1:
        links.first_names[status.st_ino] = links.where + entry_name


def _copy_file(source: int, target: int, entry_name: str, status: os.stat_result) -> None:
    reading = os.open(entry_name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        writing = os.open(entry_name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
        try:
            _copy_content(reading, writing)
            copy_attributes(reading, writing, status)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _copy_content(reading: int, writing: int) -> None:
    try:
        fcntl.ioctl(writing, _FICLONE, reading)
    except OSError as error:  # the file system shares no extents, or source and target lie on two
        if error.errno not in (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY):
            raise
    else:
        return
    while os.copy_file_range(reading, writing, _COPY_CHUNK):
        pass


def copy_attributes(source: int, target: int, status: os.stat_result) -> None:
    """Give an open file or folder the owner, mode, xattrs and times of another, whose `status` is given."""
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, stat.S_IMODE(status.st_mode))
    for attribute in [] if dotted.is_dotted(source) else os.listxattr(source):
        if not attribute.startswith("user.overlay."):
            with contextlib.suppress(PermissionError):  # trusted.* and security.selinux are not ours to write
                os.setxattr(target, attribute, os.getxattr(source, attribute))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _get_xattr(descriptor: int, attribute: str) -> bytes | None:
    try:
        return os.getxattr(descriptor, attribute)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):
            return None
        raise


def _open_folder(parent: int, entry_name: str) -> int:
    return os.open(entry_name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)


def _is_folder(parent: int, entry_name: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(entry_name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _remove(parent: int, entry_name: str) -> None:
    """Remove a name with all below it, or nothing when there is none."""
    if _is_folder(parent, entry_name):
        remove_tree(entry_name, parent)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(entry_name, dir_fd=parent)
