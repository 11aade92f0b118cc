"""Inodes: what the kernel holds a number of, and the table of them.

An `Inode` is dropped when the kernel has forgotten it; a `Directory` lives also as long as an inode below it, so that there is
never more than one object for one directory. Numbers are stable: they are those of the file on disk (the kernel calls this xino),
of a merged directory its topmost lower's, of a copied-up file its lower's, so that copy-up is not seen.
"""

import os
import stat
from collections.abc import Callable, Sequence
from typing import Final

from fuse_overlay.layer import ITSELF, DirectoryFolder, Folder

ROOT: Final = 1  # FUSE_ROOT_ID
_DEVICE_SHIFT: Final = 48  # numbers on disk that need more bits, and 0 and 1, have others in a range of our own
_MOST_ON_DISK: Final = 1 << _DEVICE_SHIFT
_OWN_RANGE: Final = 1 << 62
_SPREAD: Final = 0x1E3779B97F4A7C15  # odd, its bits without a pattern: the numbers of two devices lie far from each other


class Inode:
    """A file of the union: `file` in `folder` is where its content is; `parent` and `name` one place where the union shows it."""

    __slots__ = ("aliases", "anchor", "file", "folder", "in_upper", "kind", "lookups", "lower_handles", "name", "number", "parent")

    def __init__(self, number: int, kind: int, parent: "Directory | None", name: bytes, folder: Folder) -> None:
        self.number = number
        self.kind = kind  # stat.S_IFMT
        self.parent = parent
        self.name = name
        self.folder = folder
        self.file = name
        self.in_upper = parent is not None and folder is parent.upper
        self.lookups = 0
        self.anchor = -1  # O_PATH, of a file of the upper that has lost all names we know
        self.aliases: list[tuple[Directory, bytes]] | None = None  # further places where the union shows it
        self.lower_handles: set[int] | None = None  # open descriptors of the lower file, replaced on copy-up

    def status(self) -> os.stat_result:
        """Return the status on disk."""
        if self.anchor >= 0:
            assert isinstance(self.folder, DirectoryFolder)
            return self.folder.shown_at(os.stat(self.anchor), self.path())
        status = self.folder.find(self.file)
        if status is None:
            raise FileNotFoundError(2, os.strerror(2), self.file)
        return status

    def path(self) -> bytes:
        """Return a path of a file of the upper, for system calls that know no descriptors and must not follow a symlink."""
        if self.anchor >= 0:
            return b"/proc/self/fd/%d" % self.anchor
        assert isinstance(self.folder, DirectoryFolder)
        return self.folder.path(self.file)

    @property
    def follows(self) -> bool:
        """Whether `path` is a magic link, which must be followed to reach the file; else the file's own name, which must not."""
        return self.anchor >= 0

    def add_name(self, parent: "Directory", name: bytes) -> None:
        """Note that the union shows this inode there, too."""
        was_deleted = self.parent is None
        if was_deleted:
            self.parent, self.name = parent, name
        elif (self.parent is parent and self.name == name) or (parent, name) in (self.aliases or ()):
            return
        else:
            self.aliases = [*(self.aliases or ()), (parent, name)]
        parent.children += 1
        if self.in_upper and (self.anchor >= 0 or was_deleted):
            assert parent.upper is not None
            if self.anchor < 0:
                assert isinstance(self.folder, DirectoryFolder)
                os.unlink(self.file, dir_fd=self.folder.descriptor)  # where it lived on
            self.folder, self.file = parent.upper, name
            self.close()

    def remove_name(self, parent: "Directory", name: bytes) -> None:
        """Note that the union does not show this inode there any more. A file of the upper gets an anchor before (`keep`)."""
        if self.aliases and (parent, name) in self.aliases:
            self.aliases.remove((parent, name))
        elif self.parent is parent and self.name == name:
            self.parent, self.name = self.aliases.pop() if self.aliases else (None, name)
            if self.in_upper and self.parent is not None:
                assert self.parent.upper is not None
                self.folder, self.file = self.parent.upper, self.name
        else:
            return
        parent.children -= 1

    def keep(self, parent: "Directory", name: bytes) -> None:
        """Hold a file of the upper that may be about to lose the last name that we know."""
        if self.is_at_last(parent, name):
            assert isinstance(self.folder, DirectoryFolder)
            self.anchor = os.open(self.file, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folder.descriptor)

    def is_at_last(self, parent: "Directory", name: bytes) -> bool:
        """Tell whether this is the last name that we know of a file of the upper, which nothing holds yet."""
        return self.in_upper and self.anchor < 0 and not self.aliases and self.parent is parent and self.name == name

    def close(self) -> None:
        """Release the descriptors."""
        if self.anchor >= 0:
            os.close(self.anchor)
            self.anchor = -1


class Directory(Inode):
    """A directory of the union: the upper's, if there, over any number of lower folders, topmost first."""

    __slots__ = ("children", "lowers", "subdirectories", "upper")

    upper: DirectoryFolder | None

    def __init__(
        self, number: int, parent: "Directory | None", name: bytes, upper: DirectoryFolder | None, lowers: tuple[Folder, ...]
    ) -> None:
        super().__init__(number, stat.S_IFDIR, parent, name, upper or lowers[0])
        self.in_upper = upper is not None
        self.file = ITSELF
        self.upper = upper
        self.lowers = lowers
        self.children = 0  # names of known files here
        self.subdirectories: dict[bytes, Directory] = {}

    @property
    def folders(self) -> tuple[Folder, ...]:
        """All folders, topmost first."""
        return self.lowers if self.upper is None else (self.upper, *self.lowers)

    def take_upper(self, upper: DirectoryFolder) -> None:
        """Note that the directory has been copied up."""
        self.upper = self.folder = upper
        self.in_upper = True

    def close(self) -> None:
        """Release the descriptors of all folders."""
        for folder in self.folders:
            folder.close()


class InodeTable:
    """All inodes that the kernel, or an inode below them, refers to."""

    def __init__(
        self, root: Directory, device: int, on_end: Callable[[os.stat_result], None], on_drop: Callable[[Inode], None] | None
    ) -> None:
        """`on_end` is called with the status of a file of the upper that is gone for good, `on_drop` with deleted inodes."""
        self._inodes: dict[int, Inode] = {ROOT: root}
        self._devices = {device: 0}
        self._on_end = on_end
        self._on_drop = on_drop
        self._copied: dict[tuple[int, int], int] = {}
        self.linked: dict[int, Inode] = {}  # copied-up files with further names in the lower layer, which are to join them

    def __len__(self) -> int:
        return len(self._inodes)

    def __getitem__(self, number: int) -> Inode:
        return self._inodes[number]

    def get(self, number: int) -> Inode | None:
        """Return the inode of that number, if known."""
        return self._inodes.get(number)

    def directory(self, number: int) -> Directory:
        """Return the directory of that number, which the kernel knows for one."""
        inode = self._inodes[number]
        assert isinstance(inode, Directory)
        return inode

    def number_of(self, status: os.stat_result) -> int:
        """Return the number for a file on disk."""
        on_disk, on_device = status.st_ino, status.st_dev
        if self._copied and (number := self._copied.get((on_device, on_disk))) is not None:
            return number
        device = self._devices.get(on_device)
        if device is None:
            device = self._devices[on_device] = len(self._devices)
        if ROOT < on_disk < _MOST_ON_DISK:
            return device << _DEVICE_SHIFT | on_disk
        # Computed, not handed out: it must be the same again when the kernel has forgotten the file, at no memory for each.
        return _OWN_RANGE | (on_disk + device * _SPREAD) & (_OWN_RANGE - 1)

    def note_copy(self, status: os.stat_result, number: int) -> None:
        """Let the file of the upper with that status have the number of the lower file that it is a copy of."""
        self._copied[status.st_dev, status.st_ino] = number

    def note_end(self, status: os.stat_result) -> None:
        """Note that a file of the upper goes with its last name and descriptor: its number on disk may be used again."""
        self._copied.pop((status.st_dev, status.st_ino), None)
        self._on_end(status)

    def add(self, inode: Inode) -> None:
        """Add a new inode, and hold its parent."""
        self._inodes[inode.number] = inode
        parent = inode.parent
        if parent is None:
            return
        if isinstance(inode, Directory):
            parent.subdirectories[inode.name] = inode
        else:
            parent.children += 1

    def forget(self, number: int, lookups: int) -> None:
        """Take back so many look-ups of the kernel, and drop the inode when none is left."""
        inode = self._inodes.get(number)
        if inode is None:
            return
        inode.lookups -= lookups
        if inode.lookups <= 0:
            self._drop(inode)

    def release(self, directory: "Directory | None") -> None:
        """Drop a directory that nothing refers to any more."""
        if directory is not None and directory.lookups <= 0 and directory.number in self._inodes:
            self._drop(directory)

    def _drop(self, inode: Inode) -> None:
        """Drop an inode, and the directories above it that nothing refers to any more; of those there may be thousands."""
        waiting: list[Inode | None] = [inode]
        while waiting:
            dropped = waiting.pop()
            if dropped is inode or (dropped is not None and dropped.lookups <= 0 and dropped.number in self._inodes):
                waiting += self._drop_one(dropped)

    def _drop_one(self, inode: Inode) -> "Sequence[Directory | None]":
        """Drop an inode if nothing below it is known; return the directories it was in."""
        if inode.number == ROOT or inode.number in self.linked:
            return ()
        if isinstance(inode, Directory):
            if inode.children or inode.subdirectories:
                return ()
            if inode.parent is not None and inode.parent.subdirectories.get(inode.name) is inode:
                del inode.parent.subdirectories[inode.name]
            parents = [inode.parent]
        else:
            parents = [inode.parent, *(parent for parent, _name in inode.aliases or ())]
            for parent in parents:
                if parent is not None:
                    parent.children -= 1
        del self._inodes[inode.number]
        if inode.anchor >= 0 and (status := os.stat(inode.anchor)).st_nlink == 0:
            self.note_end(status)
        if self._on_drop is not None and inode.parent is None and inode.in_upper:
            self._on_drop(inode)
        inode.close()
        return parents
