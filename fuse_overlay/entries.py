"""Names in a directory: making and removing files, directories and links (kernel: fs/overlayfs/dir.c).

What is made where the upper has a whiteout is made in the work folder and renamed over the whiteout; a directory there is opaque,
so that what the whiteout hid stays hidden.
"""

import errno
import os
import stat
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from fuse_overlay import copy_up, deleted, whiteouts
from fuse_overlay.exchange import put
from fuse_overlay.inodes import Directory, Inode
from fuse_overlay.layer import ITSELF, DirectoryFolder, Opacity
from fuse_overlay.noted import Noted
from fuse_overlay.union import Union, remove_tree

Made = TypeVar("Made")


class New(NamedTuple):
    """What a new file shall be: its type and mode, and whom it belongs to."""

    mode: int
    user: int
    group: int

    def noted(self) -> Noted:
        """Return the same as what may be noted of it."""
        return Noted(self.user, self.group, stat.S_IMODE(self.mode), stat.S_IFMT(self.mode))


def make(union: Union, parent: Directory, name: bytes, maker: Callable[[DirectoryFolder, bytes], Made]) -> Made:
    """Call `maker(folder, name)` for a new file, in the upper folder if it has nothing of that name, else in the work folder."""
    folder = copy_up.directory(union, parent)
    whiteouts.check_name(folder, name)
    try:
        made = maker(folder, name)
    except FileExistsError:
        if not whiteouts.is_at(folder, name):
            raise
    else:
        folder.lift_whiteout(name)
        return made
    temporary = union.temporary_name()
    made = maker(union.work, temporary)
    os.rename(temporary, name, src_dir_fd=union.work.descriptor, dst_dir_fd=folder.descriptor)
    return made


def make_node(union: Union, parent: Directory, name: bytes, device: int, new: New) -> None:
    """Make a regular file, FIFO, socket or device."""
    if stat.S_ISCHR(new.mode) and device == 0:
        raise PermissionError(errno.EPERM, "a character device 0:0 is a whiteout")

    def maker(folder: DirectoryFolder, at: bytes) -> None:
        union.owners.make_node(folder, at, new.mode, device)
        give(union, parent, folder, at, new)

    make(union, parent, name, maker)


def make_symlink(union: Union, parent: Directory, name: bytes, target: bytes, new: New) -> None:
    """Make a symlink."""

    def maker(folder: DirectoryFolder, at: bytes) -> None:
        os.symlink(target, at, dir_fd=folder.descriptor)
        give(union, parent, folder, at, new)

    make(union, parent, name, maker)


def make_link(union: Union, inode: Inode, parent: Directory, name: bytes) -> None:
    """Make a further name of a file, after copy-up."""
    copy_up.file(union, inode)

    def maker(folder: DirectoryFolder, at: bytes) -> None:
        if inode.anchor >= 0:
            os.link(inode.path(), at, dst_dir_fd=folder.descriptor, follow_symlinks=True)
            return
        assert isinstance(inode.folder, DirectoryFolder)
        os.link(inode.file, at, src_dir_fd=inode.folder.descriptor, dst_dir_fd=folder.descriptor, follow_symlinks=False)

    make(union, parent, name, maker)
    inode.add_name(parent, name)


def make_directory(union: Union, parent: Directory, name: bytes, new: New) -> None:
    """Make a directory; over a whiteout, an opaque one."""
    folder = copy_up.directory(union, parent)
    whiteouts.check_name(folder, name)
    if folder.dotted and whiteouts.is_at(folder, name):  # which does not keep anything from being made there
        _make_opaque_directory(union, parent, folder, name, new)
        return
    try:
        os.mkdir(name, _disk_mode(union, new), dir_fd=folder.descriptor)
    except FileExistsError:
        if not whiteouts.is_at(folder, name):
            raise
        _make_opaque_directory(union, parent, folder, name, new)
    else:
        give(union, parent, folder, name, new)


def _make_opaque_directory(union: Union, parent: Directory, folder: DirectoryFolder, name: bytes, new: New) -> None:
    temporary = union.temporary_name()
    work = union.work.descriptor
    os.mkdir(temporary, _disk_mode(union, new), dir_fd=work)
    give(union, parent, union.work, temporary, new)
    made = union.work.child(temporary)
    try:
        made.set_opacity(Opacity.OPAQUE)
    finally:
        made.close()
    if folder.has(name):
        os.unlink(put(union, temporary, folder, name), dir_fd=work)
    else:
        os.rename(temporary, name, src_dir_fd=work, dst_dir_fd=folder.descriptor)
        folder.lift_whiteout(name)


def _disk_mode(union: Union, new: New) -> int:
    return stat.S_IMODE(union.owners.disk_mode(new.mode))


def give(union: Union, parent: Directory, folder: DirectoryFolder, name: bytes, new: New) -> None:
    """Give a new file in `folder`, the parent's upper one or the work folder, to its creator."""
    upper = parent.upper
    assert upper is not None
    status = upper.find(ITSELF)
    assert status is not None
    union.owners.give(folder, name, new.noted(), status, in_place=folder is upper)


def unlink(union: Union, parent: Directory, name: bytes) -> None:
    """Remove a file's name; the file lives on while it is open."""
    found = union.find(parent, name)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    inode, _status = found
    folder = copy_up.directory(union, parent)
    hides = union.shines_through(parent, name)
    if folder.find(name) is None:
        whiteouts.make(union, folder, name)
    elif union.keeps_deleted:
        deleted.unlink(union, inode, parent, name, hides=hides)
    else:
        inode.keep(parent, name)
        if hides:
            whiteouts.replace(union, folder, name)
        else:
            os.unlink(name, dir_fd=folder.descriptor)
    lose_name(union, inode, parent, name)


def lose_name(union: Union, inode: Inode, parent: Directory, name: bytes) -> None:
    """Note that a file has lost a name."""
    inode.remove_name(parent, name)
    if inode.parent is None:
        union.inodes.linked.pop(inode.number, None)
        union.inodes.forget(inode.number, 0)


def remove_directory(union: Union, parent: Directory, name: bytes) -> None:
    """Remove a directory that shows nothing."""
    found = union.find(parent, name)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    directory = found[0]
    assert isinstance(directory, Directory)
    check_empty(union, directory)
    folder = copy_up.directory(union, parent)
    hides = union.shines_through(parent, name)
    if directory.upper is None:
        whiteouts.make(union, folder, name)
    elif union.keeps_deleted:
        deleted.remove_folder(union, directory, folder, name, hides=hides)
    else:
        directory.upper.pin()  # somebody may stand in it
        if hides:
            remove_tree(union.work, whiteouts.replace_directory(union, folder, name), stat.S_IFDIR)
        else:
            whiteouts.clear(directory.upper)
            os.rmdir(name, dir_fd=folder.descriptor)
    lose_directory(union, directory)


def lose_directory(union: Union, directory: Directory) -> None:
    """Note that a directory has lost its name."""
    parent = directory.parent
    if parent is not None and parent.subdirectories.get(directory.name) is directory:
        del parent.subdirectories[directory.name]
    directory.parent = None
    union.inodes.release(directory)
    union.inodes.release(parent)


def check_empty(union: Union, directory: Directory) -> None:
    """Raise ENOTEMPTY unless the union shows nothing in `directory`."""
    seen: set[bytes] = set()
    for folder in directory.folders:
        for name in folder.names():
            if name not in seen and union.find(directory, name) is not None:
                raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
            seen.add(name)
