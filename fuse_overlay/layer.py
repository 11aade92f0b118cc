"""Layers: what the union reads, one directory at a time.

`Folder`, with `Content`, is the whole interface, so that a layer may be a directory today and something that is never unpacked
later (the tests have one that is a tar archive). A name is one path component; b"." is the folder itself. `DirectoryFolder` is a
folder of a layer that is a directory on disk, and of the upper.

Nothing here resolves more than one component at a time, none of them through a symlink: a folder's descriptor is opened relative to
its parent's with O_NOFOLLOW, and a layer's symlinks are content, never followed.
"""

import errno
import os
import stat
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from fuse_overlay.ownership import Notes

_OPEN_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPAQUE: Final = b"user.overlay.opaque"
_WHITEOUT: Final = b"user.overlay.whiteout"
ITSELF: Final = b"."


class Opacity(Enum):
    """What `user.overlay.opaque` of a folder says (kernel doc filesystems/overlayfs.rst, "whiteouts and opaque directories")."""

    NONE = None
    OPAQUE = b"y"  # hides the folders below it
    WHITEOUTS = b"x"  # may hold whiteouts in the form of an extended attribute


class Content(Protocol):
    """An open regular file of a layer that has no descriptor for it. Methods raise `OSError`."""

    def read(self, offset: int, size: int) -> bytes:
        """Return `size` bytes from `offset` on, fewer only at the end."""
        ...

    def close(self) -> None:
        """Release what is held."""
        ...


class Folder(Protocol):
    """One directory of one layer. Methods raise `OSError`.

    All that the union asks of a layer goes through this. A status has `st_dev` and `st_ino`, which tell files of all layers apart
    and stay the same from one mount to the next; names that are hard links of one file have the same ones.
    """

    def find(self, name: bytes) -> os.stat_result | None:
        """Return the status of what `name` is here, a symlink's its own, or None when there is nothing."""
        ...

    def child(self, name: bytes) -> "Folder":
        """Return the folder `name`, which exists."""
        ...

    def names(self) -> list[bytes]:
        """Return what is here, with whiteouts."""
        ...

    def opacity(self) -> Opacity:
        """Tell whether this hides what lies below it."""
        ...

    def is_whiteout(self, name: bytes, status: os.stat_result) -> bool:
        """Tell whether `name`, of that status, means that there is nothing here nor below."""
        ...

    def open(self, name: bytes, flags: int) -> "int | Content":
        """Open the regular file `name`, of a lower layer for reading; the caller closes the descriptor or the content.

        A descriptor is quicker: its file is read, copied and shared by the kernel.
        """
        ...

    def read_link(self, name: bytes) -> bytes:
        """Return the target of the symlink `name`."""
        ...

    def list_xattrs(self, name: bytes) -> list[bytes]:
        """Return the names of the extended attributes of `name`."""
        ...

    def get_xattr(self, name: bytes, attribute: bytes) -> bytes:
        """Return an extended attribute's value."""
        ...

    def close(self) -> None:
        """Release what is held; the folder may be used again."""
        ...


class OpenFolders:
    """The folders that hold a descriptor, oldest first, so that their number stays bounded."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.folders: dict[DirectoryFolder, None] = {}

    def trim(self) -> None:
        """Close the oldest until the limit is met. Called between requests only: a request may hold more than it allows."""
        while len(self.folders) > self.limit:
            next(iter(self.folders)).close()


class DirectoryFolder:
    """A folder of a layer that is a directory on disk. Its descriptor is opened when needed, and again after a `trim`.

    `notes` are the layer's, where owners and modes are not those of the files on disk.
    """

    __slots__ = ("_descriptor", "_notes", "_opacity", "_open_folders", "_parent", "name")

    dotted = False
    """Whether whiteouts and opaque marks are files beside or in what they mark (see `nfs_folder`)."""

    def __init__(
        self,
        open_folders: OpenFolders,
        parent: "DirectoryFolder | None",
        name: bytes,
        descriptor: int = -1,
        notes: "Notes | None" = None,
    ) -> None:
        self._open_folders = open_folders
        self._parent = parent
        self.name = name
        self._descriptor = descriptor
        self._opacity: Opacity | None = None
        self._notes = notes

    @property
    def descriptor(self) -> int:
        """A descriptor of the folder (O_PATH), valid until the next `trim`."""
        if self._descriptor < 0:
            closed = [self]
            while (parent := closed[-1]._parent) is not None and parent._descriptor < 0:
                closed.append(parent)
            while closed:  # not by recursion: there may be thousands
                closed.pop()._open()
        return self._descriptor

    def _open(self) -> None:
        assert self._parent is not None
        self._descriptor = os.open(self.name, _OPEN_FOLDER, dir_fd=self._parent._descriptor)
        self._open_folders.folders[self] = None

    def pin(self) -> None:
        """Keep the descriptor open from now on: the folder is about to lose its name."""
        assert self.descriptor >= 0
        self._open_folders.folders.pop(self, None)

    def move(self, parent: "DirectoryFolder", name: bytes) -> None:
        """Note that the folder was renamed."""
        self._parent = parent
        self.name = name

    def close(self) -> None:
        """Close the descriptor, but of a root."""
        if self._descriptor >= 0 and self._parent is not None:
            self._open_folders.folders.pop(self, None)
            os.close(self._descriptor)
            self._descriptor = -1

    def find(self, name: bytes) -> os.stat_result | None:
        """See `Folder.find`."""
        try:
            status = os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return status if self._notes is None else self._notes.shown(status, self, name)

    def child(self, name: bytes) -> "DirectoryFolder":
        """See `Folder.child`."""
        return DirectoryFolder(self._open_folders, self, name, notes=self._notes)

    def names(self) -> list[bytes]:
        """See `Folder.names`."""
        return os.listdir(self.path(ITSELF))

    def entries_on_disk(self) -> Iterator[tuple[bytes, int]]:
        """Yield each name with its kind (`stat.S_IFMT`), or 0 where only `find` tells it; also what is not shown to anybody."""
        descriptor = os.open(ITSELF, _READ_FOLDER, dir_fd=self.descriptor)
        try:
            with os.scandir(descriptor) as found:
                for entry in found:
                    yield os.fsencode(entry.name), _kind(entry)
        finally:
            os.close(descriptor)

    def has(self, name: bytes) -> bool:
        """Tell whether there is anything of that name on disk."""
        try:
            os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def opacity(self) -> Opacity:
        """See `Folder.opacity`; read from disk once."""
        if self._opacity is None:
            value = self._mark(ITSELF, _OPAQUE)
            self._opacity = Opacity(value) if value in (b"x", b"y") else Opacity.NONE
        return self._opacity

    def set_opacity(self, opacity: Opacity) -> None:
        """Write `user.overlay.opaque` to the folder, which is of the upper."""
        os.setxattr(self.path(ITSELF), _OPAQUE, opacity.value or b"")
        self._opacity = opacity

    def lift_whiteout(self, name: bytes) -> None:
        """Delete a whiteout that is beside what has just got that name; none is in this form."""

    def white_out(self, name: bytes) -> None:
        """Make a whiteout: a device 0:0, where there is nothing. Raises `OSError` where the file system has no devices."""
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=self.descriptor)

    def is_whiteout(self, name: bytes, status: os.stat_result) -> bool:
        """See `Folder.is_whiteout`: a device 0:0, or an empty file with an attribute in a folder marked for it."""
        mode = status.st_mode
        if stat.S_ISCHR(mode):
            return status.st_rdev == 0
        if status.st_size or not stat.S_ISREG(mode) or self.opacity() is not Opacity.WHITEOUTS:
            return False
        return self._mark(name, _WHITEOUT) is not None

    def open(self, name: bytes, flags: int) -> int:
        """See `Folder.open`; the upper's also opens folders and for writing."""
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.descriptor)

    def read_link(self, name: bytes) -> bytes:
        """See `Folder.read_link`."""
        return os.readlink(name, dir_fd=self.descriptor)

    def list_xattrs(self, name: bytes) -> list[bytes]:
        """See `Folder.list_xattrs`."""
        return [os.fsencode(attribute) for attribute in os.listxattr(self.path(name), follow_symlinks=False)]

    def get_xattr(self, name: bytes, attribute: bytes) -> bytes:
        """See `Folder.get_xattr`."""
        return os.getxattr(self.path(name), attribute, follow_symlinks=False)

    def path(self, name: bytes) -> bytes:
        """Return a path for the system calls that know no directory descriptors; it goes through this folder's descriptor."""
        return b"/proc/self/fd/%d/%b" % (self.descriptor, name)

    @property
    def is_flat(self) -> bool:
        """Whether owners and modes are noted, and are not those of the files on disk."""
        return self._notes is not None

    def shown_at(self, status: os.stat_result, path: bytes) -> os.stat_result:
        """Return the status of a file of this layer that has lost its name, when `path` is a magic link to it."""
        return status if self._notes is None else self._notes.shown_at(status, path)

    def where(self, name: bytes) -> bytes:
        """Return the path of `name` below the layer's root, whose own is empty."""
        parts = [] if name == ITSELF else [name]
        folder: DirectoryFolder | None = self
        while folder is not None and folder._parent is not None:
            parts.append(folder.name)
            folder = folder._parent
        return b"/".join(reversed(parts))

    def _mark(self, name: bytes, attribute: bytes) -> bytes | None:
        try:
            return self.get_xattr(name, attribute)
        except OSError as error:
            if error.errno in (errno.ENODATA, errno.EOPNOTSUPP):  # no mark, or a file system that can have none
                return None
            raise


def _kind(entry: "os.DirEntry[str]") -> int:
    """Return what the directory entry says without a system call, for the kinds that need no closer look."""
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if entry.is_file(follow_symlinks=False) else 0
