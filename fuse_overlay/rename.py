"""rename(2) with NOREPLACE and EXCHANGE (kernel: fs/overlayfs/dir.c, ovl_rename).

A directory that is, or is merged with, one of a lower layer gives EXDEV, as overlayfs without redirect_dir does; mv(1) then copies.
Where the old name would show a lower file again, it becomes a whiteout in the same step (RENAME_WHITEOUT).
"""

import errno
import os
from typing import Final

from fuse_overlay import copy_up, entries, whiteouts
from fuse_overlay.inodes import Directory, Inode
from fuse_overlay.layer import DirectoryFolder, Opacity
from fuse_overlay.renameat2 import EXCHANGE, WHITEOUT, renameat2
from fuse_overlay.union import Union

NOREPLACE: Final = 1


def rename(union: Union, parent: Directory, name: bytes, new_parent: Directory, new_name: bytes, flags: int) -> None:
    """Rename, replacing what has the new name unless `flags` says otherwise."""
    if flags & ~(NOREPLACE | EXCHANGE):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    inode = _must_find(union, parent, name)
    target = union.find(new_parent, new_name)
    if flags & EXCHANGE:
        _exchange(union, (parent, name, inode), (new_parent, new_name, _must_find(union, new_parent, new_name)))
        return
    if target is not None and flags & NOREPLACE:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    if target is not None and target[0] is inode:  # two names of one file: rename(2) does nothing
        return
    _prepare(union, inode)
    folder = copy_up.directory(union, new_parent)
    if target is not None:
        _clear_target(union, target[0], new_parent, new_name)
    _move(union, (parent, name, inode), folder, (new_parent, new_name))
    if target is not None:
        _lose_target(union, target[0], new_parent, new_name)
    _note_move(union, inode, parent, name, new_parent, new_name)


def _must_find(union: Union, parent: Directory, name: bytes) -> Inode:
    found = union.find(parent, name)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return found[0]


def _prepare(union: Union, inode: Inode) -> None:
    """Bring what shall be renamed into the upper."""
    if isinstance(inode, Directory) and inode.lowers:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    copy_up.file(union, inode)


def _clear_target(union: Union, target: Inode, parent: Directory, name: bytes) -> None:
    """Make what is about to be replaced replaceable, and hold it for who has it open."""
    if not isinstance(target, Directory):
        target.keep(parent, name)
        return
    entries.check_empty(union, target)
    if target.upper is not None:
        whiteouts.clear(target.upper)
        target.upper.pin()


def _lose_target(union: Union, target: Inode, parent: Directory, name: bytes) -> None:
    if isinstance(target, Directory):
        entries.lose_directory(union, target)
    else:
        entries.lose_name(union, target, parent, name)


def _move(
    union: Union, source: tuple[Directory, bytes, Inode], new_folder: DirectoryFolder, target: tuple[Directory, bytes]
) -> None:
    """Rename in the upper, leaving a whiteout if a lower layer has the old name."""
    parent, name, inode = source
    new_parent, new_name = target
    folder = parent.upper
    assert folder is not None
    leaves_whiteout = union.shines_through(parent, name)
    if isinstance(inode, Directory):
        assert inode.upper is not None
        if union.shines_through(new_parent, new_name):
            inode.upper.set_opacity(Opacity.OPAQUE)
        if whiteouts.is_at(new_folder, new_name):  # which a directory cannot replace: they change places
            renameat2(folder.descriptor, name, new_folder.descriptor, new_name, EXCHANGE)
            if not leaves_whiteout:
                os.unlink(name, dir_fd=folder.descriptor)
            return
    if not leaves_whiteout:
        os.rename(name, new_name, src_dir_fd=folder.descriptor, dst_dir_fd=new_folder.descriptor)
        return
    try:
        renameat2(folder.descriptor, name, new_folder.descriptor, new_name, WHITEOUT)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP):
            raise
        os.rename(name, new_name, src_dir_fd=folder.descriptor, dst_dir_fd=new_folder.descriptor)
        whiteouts.make(union, folder, name)


def _exchange(union: Union, one: tuple[Directory, bytes, Inode], other: tuple[Directory, bytes, Inode]) -> None:
    """Let two names change places."""
    for parent, _name, inode in (one, other):
        _prepare(union, inode)
        copy_up.directory(union, parent)
    for (parent, name, _inode), (_parent, _name, comer) in ((one, other), (other, one)):
        if isinstance(comer, Directory) and union.shines_through(parent, name):
            assert comer.upper is not None
            comer.upper.set_opacity(Opacity.OPAQUE)
    folders = one[0].upper, other[0].upper
    assert folders[0] is not None
    assert folders[1] is not None
    renameat2(folders[0].descriptor, one[1], folders[1].descriptor, other[1], EXCHANGE)
    if one[2] is not other[2]:
        _note_move(union, one[2], *one[:2], *other[:2])
        _note_move(union, other[2], *other[:2], *one[:2])


def _note_move(union: Union, inode: Inode, parent: Directory, name: bytes, new_parent: Directory, new_name: bytes) -> None:
    """Note the new place of an inode."""
    assert new_parent.upper is not None
    if isinstance(inode, Directory):
        assert inode.upper is not None
        if parent.subdirectories.get(name) is inode:
            del parent.subdirectories[name]
        new_parent.subdirectories[new_name] = inode
        inode.parent, inode.name = new_parent, new_name
        inode.upper.move(new_parent.upper, new_name)
        union.inodes.release(parent)
        return
    if inode.parent is parent and inode.name == name:
        parent.children -= 1
        inode.parent, inode.name = new_parent, new_name
        new_parent.children += 1
        inode.folder, inode.file = new_parent.upper, new_name
    elif inode.aliases and (parent, name) in inode.aliases:
        inode.aliases.remove((parent, name))
        parent.children -= 1
        inode.add_name(new_parent, new_name)
    else:
        inode.add_name(new_parent, new_name)
