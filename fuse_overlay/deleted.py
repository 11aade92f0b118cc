"""Deleted files that are still open, on file systems that keep a name for them, or lose them.

NFS renames what is deleted while somebody has it open; so does libfuse, for who has opened it to read or write, and for others it
is gone. There deleted files and folders that the kernel still knows live on in the work folder, until it forgets them: inodes whose
folder is the work folder. They have a name there, so nothing needs an anchor, and nothing of them is left in folders of the upper.
"""

import errno
import os
import stat

from fuse_overlay import whiteouts
from fuse_overlay.exchange import replace
from fuse_overlay.inodes import Directory, Inode
from fuse_overlay.layer import DirectoryFolder
from fuse_overlay.union import Union, remove_tree


def unlink(union: Union, inode: Inode, parent: Directory, name: bytes, *, hides: bool) -> None:
    """Take a name from a file of the upper; `hides`: so that a lower one does not show."""
    folder = parent.upper
    assert folder is not None
    if hides and folder.dotted:
        folder.white_out(name)
        hides = False
    if not inode.is_at_last(parent, name):
        if hides:
            whiteouts.replace(union, folder, name)
        else:
            os.unlink(name, dir_fd=folder.descriptor)
    elif hides:
        note(union, inode, replace(union, folder, name, lambda: whiteouts.make(union, folder, name)))
    else:
        _move(union, inode, folder, name)


def remove_folder(union: Union, directory: Directory, folder: DirectoryFolder, name: bytes, *, hides: bool) -> None:
    """Take its name from a directory of the upper; `hides`: so that a lower one does not show."""
    if hides:
        note(union, directory, whiteouts.replace_directory(union, folder, name))
    else:
        _move(union, directory, folder, name)


def _move(union: Union, inode: Inode, folder: DirectoryFolder, name: bytes) -> None:
    at = union.temporary_name()
    os.rename(name, at, src_dir_fd=folder.descriptor, dst_dir_fd=union.work.descriptor)
    note(union, inode, at)


def is_to_live_on(inode: Inode, parent: Directory, name: bytes) -> bool:
    """Tell whether that of the upper which has this name goes with it."""
    return inode.upper is not None if isinstance(inode, Directory) else inode.is_at_last(parent, name)


def note(union: Union, inode: Inode, at: bytes) -> None:
    """Note that something of the upper has come to the work folder, with that name."""
    if isinstance(inode, Directory):
        assert inode.upper is not None
        inode.upper.move(union.work, at)
    else:
        inode.folder, inode.file = union.work, at


def end(union: Union, inode: Inode) -> None:
    """Delete what lived on, as the kernel has forgotten it."""
    if isinstance(inode, Directory):
        if inode.upper is not None:
            inode.upper.close()
            _delete(union, inode.upper.name, stat.S_IFDIR)
    elif inode.folder is union.work and (status := union.work.find(inode.file)) is not None:
        _delete(union, inode.file, inode.kind)
        if status.st_nlink == 1:
            union.inodes.note_end(status)


def _delete(union: Union, name: bytes, kind: int) -> None:
    try:
        remove_tree(union.work, name, kind)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:  # it holds a file that is open by a name in it: the next server deletes it
            raise
