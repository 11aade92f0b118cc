"""Where a copy comes from or goes to: a path below an open root."""

import errno
import os
import stat
from typing import Final, NamedTuple

from rootless.errors import NoSuchObject
from rootless.linux.openat2 import open_in_root

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


class Place(NamedTuple):
    """A path, as the user gave it; `root` is an open container root, or None for the node's own file system.

    `shown` is how errors name it: `box:/etc`, or the path.
    """

    root: int | None
    path: str
    shown: str

    @property
    def wants_folder(self) -> bool:
        """Whether the path can only be a folder's."""
        return self.path.endswith(("/", "/.", "/..")) or self.path in (".", "..")

    @property
    def wants_content(self) -> bool:
        """Whether the path means what a folder holds, and not the folder (Docker's `SRC/.`)."""
        return self.path.endswith("/.") or self.path == "."

    def open(self, path: str, flags: int) -> int:
        """Open a path of this place's file system, following links as a process there would; the caller closes it."""
        if self.root is None:
            return os.open(path, flags | os.O_CLOEXEC)
        return open_in_root(self.root, path, flags)

    def split(self) -> tuple[str, str]:
        """Return the folder that the path lies in, and its name there; the name is "." for the root and what ends in . or .. ."""
        path = self.path or "/"
        stripped = path.rstrip("/")
        folder, _, name = stripped.rpartition("/")
        if not stripped or name in (".", ".."):
            return path, "."
        return folder or ("/" if path.startswith("/") else "."), name


class Found(NamedTuple):
    """A file that is there: the open folder that it lies in, its name there, its status. The caller closes the folder.

    The name is "" where a link led to a file: then `folder` is that file, open.
    """

    folder: int
    name: str
    status: os.stat_result


def find(place: Place, *, follow: bool) -> Found | None:
    """Return what is at a place, or None; a link is followed with `follow`, or where the path can only be a folder's.

    Raises `NoSuchObject` where a path that can only be a folder's leads to something else, and `OSError`.
    """
    folder_path, name = place.split()
    folder = _open_folder(place, folder_path)
    if folder is None:
        return None
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        os.close(folder)
        return None
    found = Found(folder, name, status)
    if stat.S_ISLNK(status.st_mode) and (follow or place.wants_folder):
        os.close(folder)
        following = _follow(place)
        if following is None:
            return None
        found = following
    if place.wants_folder and not stat.S_ISDIR(found.status.st_mode):
        os.close(found.folder)
        raise NoSuchObject(f"{place.shown} is not a folder", "leave out the slash at its end")
    return found


def _open_folder(place: Place, path: str) -> int | None:
    try:
        return place.open(path, _FOLDER)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise named(error, place) from None


def _follow(place: Place) -> Found | None:
    """Return what a link at a place leads to, open."""
    try:
        target = place.open(place.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise named(error, place) from None
    status = os.fstat(target)
    if stat.S_ISDIR(status.st_mode):
        return Found(target, ".", status)
    return Found(target, "", status)


def named(error: OSError, place: Place) -> OSError:
    """Return the error with the path as the user knows it."""
    return OSError(error.errno, error.strerror, place.shown)
