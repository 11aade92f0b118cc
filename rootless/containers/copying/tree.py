"""Reading a tree for a copy: its files as members of a tar."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import Final

from rootless.containers.copying.places import Found, Place, find, named
from rootless.errors import NoSuchObject
from rootless.images import tar
from rootless.images.tar import Member
from rootless.images.tar_writer import TarWriter

TOP: Final = b"top"
"""The name of what is copied, between two of our own processes."""

_BLOCK: Final = 1 << 20
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_VANISHED: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
_COPIED_XATTRS: Final = ("user.", "security.capability")
_NOT_COPIED: Final = ("user.overlay.", "user.containers.")


def write_tree(place: Place, write: Callable[[bytes | memoryview], None], top: bytes, *, follow: bool) -> None:
    """Write what is at a place, with all below it, as a tar whose first member is named `top`; `follow` a link there (-L).

    Files that vanish meanwhile are left out. Raises `NoSuchObject`, `OSError`.
    """
    found = find(place, follow=follow)
    if found is None:
        raise NoSuchObject(f"Could not find the file {place.shown}", "check the path; in a container it begins at its root")
    try:
        archive = TarWriter(write)
        _Walk(archive, place).write(found, top)
        archive.finish()
    finally:
        os.close(found.folder)


class _Walk:
    """One walk; folders are visited without recursion, and each is opened from the top by one path."""

    def __init__(self, archive: TarWriter, place: Place) -> None:
        self._archive = archive
        self._place = place
        self._first_names: dict[tuple[int, int], bytes] = {}

    def write(self, found: Found, top: bytes) -> None:
        """Write what was found, under the name `top`, and all below it."""
        if not found.name:  # a file that a link led to is open already
            self._write_open(found.folder, top)
            return
        if self._write_entry(found.folder, os.fsencode(found.name), top) is None:
            raise NoSuchObject(f"cannot copy {self._place.shown}: it is a socket, or has just vanished")
        if not stat.S_ISDIR(found.status.st_mode):
            return
        start = os.open(found.name, _OPEN | os.O_DIRECTORY, dir_fd=found.folder)
        try:
            self._write_below(start, top)
        finally:
            os.close(start)

    def _write_below(self, start: int, top: bytes) -> None:
        pending = [b""]
        while pending:
            path = pending.pop()
            try:
                folder = open_beneath(start, path)
            except OSError as error:
                if error.errno in _VANISHED:
                    continue
                raise named(error, self._place._replace(shown=f"{self._place.shown}/{os.fsdecode(path)}")) from None
            try:
                subfolders = []
                for name in sorted(os.fsencode(name) for name in os.listdir(folder)):
                    inner = path + b"/" + name if path else name
                    if self._write_entry(folder, name, top + b"/" + inner) == tar.DIRECTORY:
                        subfolders.append(inner)
                pending += reversed(subfolders)
            finally:
                os.close(folder)

    def _write_entry(self, folder: int, name: bytes, path: bytes) -> bytes | None:
        """Write one file; returns what kind of member it became, or None where it has vanished, or is a socket."""
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            kind = tar.kind_of(status.st_mode)
            if kind in (tar.REGULAR, tar.DIRECTORY):
                return self._write_content(folder, name, path, status)
            link = os.readlink(name, dir_fd=folder) if kind == tar.SYMLINK else b""
        except OSError as error:
            if error.errno in _VANISHED:
                return None
            raise named(error, self._place._replace(shown=f"{self._place.shown} ({os.fsdecode(path)})")) from None
        if kind is not None:
            is_device = kind in (tar.CHARACTER, tar.BLOCK_DEVICE)
            device = (os.major(status.st_rdev), os.minor(status.st_rdev)) if is_device else (0, 0)
            self._archive.add(member_of(path, kind, status, {})._replace(link=link, device=device))
        return kind

    def _write_content(self, folder: int, name: bytes, path: bytes, status: os.stat_result) -> bytes:
        """Write a file or folder, or where the file has been written under another name, a hard link to that."""
        has_names = stat.S_ISREG(status.st_mode) and status.st_nlink > 1
        first = self._first_names.get((status.st_dev, status.st_ino)) if has_names else None
        if first is not None:
            self._archive.add(member_of(path, tar.HARD_LINK, status, {})._replace(link=first, size=0))
            return tar.HARD_LINK
        descriptor = os.open(name, _OPEN, dir_fd=folder)
        try:
            self._write_open(descriptor, path)
        finally:
            os.close(descriptor)
        if has_names:
            self._first_names[status.st_dev, status.st_ino] = path
        return tar.DIRECTORY if stat.S_ISDIR(status.st_mode) else tar.REGULAR

    def _write_open(self, descriptor: int, path: bytes) -> None:
        status = os.fstat(descriptor)
        kind = tar.kind_of(status.st_mode) or tar.REGULAR
        self._archive.add(member_of(path, kind, status, copied_xattrs(descriptor)), file_content(descriptor, status.st_size))


def open_beneath(start: int, path: bytes) -> int:
    """Open a folder below `start`, one component at a time, so that no link leads away and no path is too long."""
    current = os.dup(start)
    for component in path.split(b"/") if path else ():
        try:
            following = os.open(component, _OPEN | os.O_DIRECTORY, dir_fd=current)
        finally:
            os.close(current)
        current = following
    return current


def member_of(path: bytes, kind: bytes, status: os.stat_result, xattrs: dict[bytes, bytes]) -> Member:
    """Return the member that a file becomes; of a link or device its target is missing."""
    return Member(
        name=path + b"/" if kind == tar.DIRECTORY else path,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size if kind == tar.REGULAR else 0,
        mtime=status.st_mtime_ns,
        link=b"",
        device=(0, 0),
        xattrs=xattrs,
        pieces=None,
    )


def copied_xattrs(descriptor: int) -> dict[bytes, bytes]:
    """Return the extended attributes of an open file that a copy has, too."""
    found = {}
    try:
        for name in os.listxattr(descriptor):
            if name.startswith(_COPIED_XATTRS) and not name.startswith(_NOT_COPIED):
                found[os.fsencode(name)] = os.getxattr(descriptor, name)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENODATA, errno.EPERM):  # none here, or removed just now
            raise
    return found


def file_content(descriptor: int, size: int) -> Iterator[bytes]:
    """Yield exactly `size` bytes: somebody may make a file longer or shorter than its header says."""
    while size:
        block = os.read(descriptor, min(size, _BLOCK)) or bytes(min(size, _BLOCK))
        size -= len(block)
        yield block
