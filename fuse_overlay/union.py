"""The union: its layers, its inodes, and how a name is looked up through the layers (kernel: fs/overlayfs/namei.c).

A name is what the topmost folder has for it. A directory is merged with those of the same name below it, until a folder is opaque,
a whiteout or something other than a directory is met. We are the only writer of the upper, so what was found stays true until we
change it.
"""

import os
import stat
from collections.abc import Sequence
from typing import Final, NamedTuple

from fuse_overlay.inodes import ROOT, Directory, Inode, InodeTable
from fuse_overlay.layer import ITSELF, DirectoryFolder, Folder, Opacity, OpenFolders
from fuse_overlay.ownership import FlatOwners, LayerNotes, NativeOwners, Notes, Owners
from fuse_overlay.probes import has_xattrs, keeps_deleted

_TEMPORARY: Final = b"#%d"
RECORD: Final = b"#back-"
"""What the names of records of `exchange` in the work folder begin with."""


class Ownership(NamedTuple):
    """Whose the files are. `user` and `group`: the only ID of the mount's user namespace, which every file is shown with; or None.

    `flat_upper`: the upper has the flat form.
    """

    user: int | None = None
    group: int | None = None
    flat_upper: bool = False


def directory_layer(descriptor: int, open_folders: OpenFolders, flat: bool) -> Folder:
    """Return the root of a lower layer that is a directory on disk."""
    return _root_folder(descriptor, open_folders, LayerNotes(descriptor) if flat else None)


def _root_folder(
    descriptor: int, open_folders: OpenFolders, notes: Notes | None, *, deleted_stay: bool = False
) -> DirectoryFolder:
    dotted = not has_xattrs(descriptor)
    if not dotted and not deleted_stay:
        return DirectoryFolder(open_folders, None, ITSELF, descriptor, notes)
    from fuse_overlay.nfs_folder import NfsFolder  # rare

    folder = NfsFolder(open_folders, None, ITSELF, descriptor, notes)
    folder.dotted = dotted
    return folder


class Union:
    """One mounted union: of the folders that are open as `upper` and `work`, and the roots of its lower layers, topmost first."""

    def __init__(self, upper: int, work: int, lowers: Sequence[Folder], ownership: Ownership, open_folders: OpenFolders) -> None:
        self.open_folders = open_folders
        self.ownership = ownership
        self.owners: Owners = FlatOwners(upper) if ownership.flat_upper else NativeOwners(chowns=ownership.user is None)
        deleted_stay = keeps_deleted(work)
        self.upper = _root_folder(upper, open_folders, self.owners.notes, deleted_stay=deleted_stay)
        self.work = _root_folder(work, open_folders, self.owners.notes, deleted_stay=deleted_stay)
        self.keeps_deleted = deleted_stay or self.upper.dotted  # an opaque mark that is a file keeps a folder from being removed
        below = () if self.upper.opacity() is Opacity.OPAQUE else tuple(lowers)
        self.root = Directory(ROOT, None, b"", self.upper, below)
        self.root.lookups = 1  # the kernel never forgets it
        on_drop = self._end if self.keeps_deleted else None
        self.inodes = InodeTable(self.root, os.stat(upper).st_dev, self.owners.forget, on_drop)
        self._temporaries = 0
        self._clear_work()

    def temporary_name(self) -> bytes:
        """Return a name in the work folder that nothing has."""
        self._temporaries += 1
        return _TEMPORARY % self._temporaries

    def _clear_work(self) -> None:
        """Delete what a server that was killed left in the work folder, after putting back what it had moved aside."""
        for name, _kind in list(self.work.entries_on_disk()):
            if name.startswith(RECORD):
                from fuse_overlay.exchange import recover  # it needs this module

                recover(self, name)
        for name, kind in list(self.work.entries_on_disk()):
            if name.startswith(b"#"):
                remove_tree(self.work, name, kind)

    def _end(self, inode: Inode) -> None:
        from fuse_overlay.deleted import end  # it needs this module

        end(self, inode)

    def find(self, parent: Directory, name: bytes) -> tuple[Inode, os.stat_result] | None:
        """Return what the union shows as `name`, with its status, or None. The inode may be new."""
        known = parent.subdirectories.get(name)
        if known is not None:
            return known, known.status()
        for index, folder in enumerate(parent.folders):
            status = folder.find(name)
            if status is None:
                continue
            if stat.S_ISDIR(status.st_mode):
                return self._find_directory(parent, name, index, status), status
            if folder.is_whiteout(name, status):
                return None
            return self._find_file(parent, name, folder, status)
        return None

    def _find_directory(self, parent: Directory, name: bytes, topmost: int, shown: os.stat_result) -> Directory:
        """Return the new inode of the directory whose topmost folder is that of the parent's folder at the index `topmost`."""
        found: list[Folder] = []
        number = 0
        upper: DirectoryFolder | None = None
        folders = parent.folders
        last = len(folders) - 1
        for index in range(topmost, last + 1):
            folder = folders[index]
            status = shown if index == topmost else folder.find(name)
            if status is None:
                continue
            if not stat.S_ISDIR(status.st_mode):
                break
            child = folder.child(name)
            if folder is parent.upper:
                assert isinstance(child, DirectoryFolder)
                upper = child
                number = self.inodes.number_of(status)
            else:
                if not found:
                    number = self.inodes.number_of(status)
                found.append(child)
            if index < last and child.opacity() is Opacity.OPAQUE:
                break
        directory = Directory(number, parent, name, upper, tuple(found))
        self.inodes.add(directory)
        return directory

    def _find_file(self, parent: Directory, name: bytes, folder: Folder, status: os.stat_result) -> tuple[Inode, os.stat_result]:
        number = self.inodes.number_of(status)
        inode = self.inodes.get(number)
        if inode is None:
            inode = Inode(number, stat.S_IFMT(status.st_mode), parent, name, folder)
            self.inodes.add(inode)
            return inode, status
        if inode.in_upper and folder is not parent.upper:
            from fuse_overlay.copy_up import join  # it needs this module

            return inode, join(self, inode, parent, name)
        inode.add_name(parent, name)
        return inode, status

    def shines_through(self, parent: Directory, name: bytes) -> bool:
        """Tell whether a lower folder of `parent` would show something as `name`, were it not in the upper."""
        for folder in parent.lowers:
            status = folder.find(name)
            if status is not None:
                return not folder.is_whiteout(name, status)
        return False


def remove_tree(folder: DirectoryFolder, name: bytes, kind: int) -> None:
    """Delete a name of the upper or the work folder, with all below it."""
    if kind != stat.S_IFDIR:
        os.unlink(name, dir_fd=folder.descriptor)
        return
    top = folder.child(name)
    levels = [(top, _unlink_files(top))]  # from the top down, each with the folders in it; not by recursion: there may be thousands
    try:
        while levels:
            inner, subfolders = levels[-1]
            if subfolders:
                below = inner.child(subfolders.pop())
                levels.append((below, _unlink_files(below)))
                continue
            inner.close()
            levels.pop()
            os.rmdir(inner.name, dir_fd=(levels[-1][0] if levels else folder).descriptor)
    finally:
        for inner, _subfolders in levels:
            inner.close()


def _unlink_files(folder: DirectoryFolder) -> list[bytes]:
    """Delete what is no folder in a folder; return the folders."""
    entries = list(folder.entries_on_disk())
    for name, kind in entries:
        if kind != stat.S_IFDIR:
            os.unlink(name, dir_fd=folder.descriptor)
    return [name for name, kind in entries if kind == stat.S_IFDIR]
