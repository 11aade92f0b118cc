"""A tree that is being unpacked, reached only through directory descriptors.

No path of a layer is ever given to the kernel whole: each component is opened in its parent with O_NOFOLLOW, so that
neither a symbolic link nor `..` leads out, whatever an image holds. Open folders are cached, as a tar's members come
folder by folder. Folders are made with mode 0700; their attributes are set at the end, when nothing is put into them
any more.
"""

import errno
import os
import stat
from typing import Final

from rootless.errors import CorruptImage
from rootless.images import mtree
from rootless.images.dotted import OPAQUE_MARK, PREFIX, is_dotted
from rootless.images.mtree import OnDisk, RecordWriter
from rootless.images.removal import remove_tree

OPAQUE: Final = "user.overlay.opaque"
WHITEOUT: Final = "user.overlay.whiteout"
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CACHED: Final = 128
_MAX_PATH: Final = 4095  # PATH_MAX without its NUL: what no path can name, nobody can use


class Tree:
    """Opens and makes folders below one root; paths are normalised: components joined by `/`, the root is empty."""

    def __init__(self, root: int, record: RecordWriter) -> None:
        self._root = root
        self._record = record
        self._folders: dict[bytes, int] = {}
        self.implied: set[bytes] = {b""}  # folders without a member of their own
        self.whiteouts: set[bytes] = set()
        self.opaque: set[bytes] = set()  # folders with that mark, of both forms

    def close(self) -> None:
        """Close the cached folders; the root stays the caller's."""
        for descriptor in self._folders.values():
            os.close(descriptor)
        self._folders.clear()

    def folder(self, path: bytes) -> int:
        """Return a descriptor of a folder, made with its parents where it is missing; it is valid until the next call.

        Raises `CorruptImage` where something that is no folder is in the way.
        """
        if not path:
            return self._root
        descriptor = self._folders.pop(path, None)
        if descriptor is not None:
            self._folders[path] = descriptor  # last: the least recently used is first
            return descriptor
        descriptor, missing = self._nearest(path)
        for prefix in missing:
            descriptor = self._enter(descriptor, prefix.rpartition(b"/")[2], prefix)
            if len(self._folders) >= _CACHED:
                os.close(self._folders.pop(next(iter(self._folders))))
            self._folders[prefix] = descriptor
        return descriptor

    def lookup(self, path: bytes) -> int | None:
        """Return a descriptor of an existing folder, or None where there is none on this path."""
        descriptor, missing = self._nearest(path)
        for prefix in missing:
            if not _is_folder(descriptor, prefix.rpartition(b"/")[2]):
                return None
            descriptor = self.folder(prefix)
        return descriptor

    def make_folder(self, path: bytes) -> None:
        """Make a folder that has a member of its own; what is there and is no folder is replaced."""
        if path:
            parent, _, name = path.rpartition(b"/")
            descriptor = self.folder(parent)
            try:
                os.mkdir(name, 0o700, dir_fd=descriptor)
            except FileExistsError:
                if not _is_folder(descriptor, name):
                    self.make_room(descriptor, name, path)
                    os.mkdir(name, 0o700, dir_fd=descriptor)
                    self._hide_lower(path)
            else:
                self._hide_lower(path)  # where the whiteout is a file beside it
        self.implied.discard(path)

    def make_room(self, parent: int, name: bytes, path: bytes) -> None:
        """Remove what a later member of the same layer replaces. A whiteout stays noted: `whiteouts` still has it."""
        try:
            os.unlink(name, dir_fd=parent)
        except IsADirectoryError:
            below = path + b"/"
            for cached in [one for one in self._folders if one == path or one.startswith(below)]:
                os.close(self._folders.pop(cached))
            for noted in (self.implied, self.whiteouts, self.opaque):
                noted.difference_update([one for one in noted if one == path or one.startswith(below)])
            remove_tree(name, parent)
        self._record.remove(path)

    def white_out(self, path: bytes) -> None:
        """Hide what lower layers have at `path` (image-spec layer.md, "Whiteouts"); what this layer has there stays."""
        parent, _, name = path.rpartition(b"/")
        descriptor = self.folder(parent)
        self.whiteouts.add(path)
        try:
            os.mknod(name, stat.S_IFCHR, 0, dir_fd=descriptor)
        except FileExistsError:
            if _is_folder(descriptor, name):
                self.make_opaque(path)
            return
        except PermissionError:  # no device numbers here (NFS, an older kernel): the form of Linux 6.7
            if is_dotted(descriptor):
                if _is_folder(descriptor, name):
                    self.make_opaque(path)
                else:
                    self._make_mark(descriptor, parent, os.fsencode(PREFIX) + name)
                return
            self._white_out_by_xattr(descriptor, name)
            self.opaque.add(parent)
        self._record.add(path, mtree.WHITEOUT, mtree.NO_ATTRIBUTES)

    def make_opaque(self, path: bytes) -> None:
        """Hide what lower layers have below a folder (kernel overlayfs.rst, "whiteouts and opaque directories")."""
        folder = self.folder(path)
        try:
            os.setxattr(folder, OPAQUE, b"y")
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            self._make_mark(folder, path, os.fsencode(OPAQUE_MARK))
        self.opaque.add(path)

    def _make_mark(self, folder: int, path: bytes, mark: bytes) -> None:
        """Make an empty file that means something in `folder`, which is at `path`; to the layer's record it is a file."""
        descriptor = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            mtime = os.fstat(descriptor).st_mtime_ns
        finally:
            os.close(descriptor)
        self._record.add(path + b"/" + mark if path else mark, mtree.REGULAR, OnDisk(0o600, 0, 0, mtime, 0), 0, mtree.crc32(b""))

    def _nearest(self, path: bytes) -> tuple[int, list[bytes]]:
        """Return the nearest open folder on a path, and the paths from there on, the uppermost first."""
        missing: list[bytes] = []
        while path and path not in self._folders:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        return self._folders[path] if path else self._root, missing[::-1]

    def _enter(self, parent: int, name: bytes, path: bytes) -> int:
        try:
            return os.open(name, _OPEN, dir_fd=parent)
        except FileNotFoundError:
            os.mkdir(name, 0o700, dir_fd=parent)
            self._hide_lower(path)  # where the whiteout is a file beside it
            self.implied.add(path)
        except OSError as error:
            if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                raise
            if path not in self.whiteouts:
                raise CorruptImage(f"{shown(path)!r} is not a folder, but the layer puts files below it") from None
            os.unlink(name, dir_fd=parent)
            os.mkdir(name, 0o700, dir_fd=parent)
            self._hide_lower(path)
            self._record.remove(path)
            self.implied.add(path)
        return os.open(name, _OPEN, dir_fd=parent)

    def _hide_lower(self, path: bytes) -> None:
        """Keep a folder in place of a whiteout from merging with the lower one that the whiteout hid."""
        if path in self.whiteouts:
            self.make_opaque(path)

    def _white_out_by_xattr(self, parent: int, name: bytes) -> None:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
        try:
            os.setxattr(descriptor, WHITEOUT, b"y")
            if OPAQUE not in os.listxattr(parent):
                os.setxattr(parent, OPAQUE, b"x")  # "may hold whiteouts of this form"
        finally:
            os.close(descriptor)


def normalised(name: bytes) -> bytes:
    """Return a member's name as components joined by `/`; the root is empty. Raises `CorruptImage` for one that leads out."""
    if b"\0" in name:
        raise CorruptImage(f"a member's name holds a NUL: {shown(name)!r}")
    if name.startswith(b"/") and name.strip(b"/"):
        raise CorruptImage(f"a member's name is absolute: {shown(name)!r}")
    parts = [part for part in name.split(b"/") if part not in {b"", b"."}]
    if b".." in parts:
        raise CorruptImage(f"a member's name climbs out with `..`: {shown(name)!r}")
    if len(name) > _MAX_PATH:
        raise CorruptImage(f"a member's name has {len(name)} bytes: {shown(name[:60])!r}")
    if any(len(part) > 255 for part in parts):
        raise CorruptImage(f"a member's name has a component longer than 255 bytes: {shown(name[:80])!r}")
    return b"/".join(parts)


def shown(path: bytes) -> str:
    """Return a path for an error message."""
    return path.decode(errors="backslashreplace")


def _is_folder(parent: int, name: bytes) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
