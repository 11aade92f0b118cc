"""Places below a container's root to mount upon, opened and made without leaving it.

Every path is opened with openat2 inside the root (RESOLVE_IN_ROOT, no magic links), made where it is missing, and given as a
descriptor: a symbolic link of the image cannot lead a mount elsewhere, whenever it is put there.
"""

import errno
import os
from typing import Final

from rootless.linux.openat2 import open_in_root

_MAX_LINKS: Final = 40  # as the kernel's own limit, path_resolution(7)


def open_target(root: int, destination: str, *, is_folder: bool, flags: int = 0) -> int:
    """Return an O_PATH descriptor of a mount's destination, made with its folders where the image lacks it.

    A symbolic link to nothing has its target made, inside the root: images have /etc/resolv.conf as one into /run.
    """
    for _link in range(_MAX_LINKS):
        try:
            return open_in_root(root, destination, os.O_PATH | flags)
        except FileNotFoundError:
            destination = _make_target(root, destination, is_folder=is_folder)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), destination)


def _make_target(root: int, destination: str, *, is_folder: bool) -> str:
    """Make the last component of a destination with the folders above it; returns where a link in its place leads instead."""
    folder, _, name = destination.rstrip("/").rpartition("/")
    parent = make_folders(root, folder)
    try:
        link = _link_target(parent, name)
        if link is not None:
            return link if link.startswith("/") else f"{folder}/{link}"
        if name in (".", ".."):
            return destination  # of a link; the folders above it are what was missing
        if is_folder:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
    finally:
        os.close(parent)
    return destination


def _link_target(folder: int, name: str) -> str | None:
    """Return where a symbolic link leads, or None for anything else, or nothing, under that name."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
        return None


def make_folder(root: int, path: str) -> None:
    """Make a folder with its parents inside the root, as mkdir -p does."""
    os.close(make_folders(root, path.strip("/")))


def make_folders(root: int, path: str) -> int:
    """Return a descriptor of `path` below the root, making what is missing, one component at a time."""
    current = open_in_root(root, ".", os.O_RDONLY | os.O_DIRECTORY)
    walked, links = "", 0
    ahead = path.split("/")[::-1]
    while ahead:
        component = ahead.pop()
        if component in ("", "."):
            continue
        link = None
        try:
            following = open_in_root(root, f"{walked}/{component}", os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            link = _link_target(current, component)
            if link is None:
                os.mkdir(component, 0o755, dir_fd=current)
                following = open_in_root(root, f"{walked}/{component}", os.O_RDONLY | os.O_DIRECTORY)
            else:
                following = open_in_root(root, "/" if link.startswith("/") else walked or "/", os.O_RDONLY | os.O_DIRECTORY)
        os.close(current)
        current = following
        if link is None:
            walked = f"{walked}/{component}"
            continue
        links += 1
        if links == _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        walked = "" if link.startswith("/") else walked
        ahead.extend(link.split("/")[::-1])
    return current


def open_if_there(root: int, path: str) -> int | None:
    """Return an O_PATH descriptor of a path, or None where nothing is there that the container could reach."""
    try:
        return open_in_root(root, path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
