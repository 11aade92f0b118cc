"""rename(2) with NOREPLACE and EXCHANGE (kernel: fs/overlayfs/dir.c, ovl_rename).

A directory that is, or is merged with, one of a lower layer gives EXDEV, as overlayfs without redirect_dir does; mv(1) then copies.
Where the old name would show a lower file again, it becomes a whiteout in the same step (RENAME_WHITEOUT).
"""

import errno
import os
from typing import Final, NamedTuple

from fuse_overlay import copy_up, deleted, entries, exchange, whiteouts
from fuse_overlay.inodes import Directory, Inode
from fuse_overlay.layer import DirectoryFolder, Opacity
from fuse_overlay.union import Union

NOREPLACE: Final = 1
EXCHANGE: Final = 2
_NO_WHITEOUT: Final = (errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP)


class Place(NamedTuple):
    """A name in a directory of the union."""

    parent: Directory
    name: bytes


def rename(union: Union, source: Place, target: Place, flags: int) -> None:
    """Rename, replacing what has the new name unless `flags` says otherwise."""
    if flags & ~(NOREPLACE | EXCHANGE):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    inode = _must_find(union, source)
    if flags & EXCHANGE:
        _exchange(union, source, inode, target, _must_find(union, target))
        return
    found = union.find(target.parent, target.name)
    replaced = None if found is None else found[0]
    if replaced is not None and flags & NOREPLACE:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    if replaced is inode:  # two names of one file: rename(2) does nothing
        return
    _prepare(union, inode)
    copy_up.directory(union, target.parent)
    whiteouts.check_name(_upper(target), target.name)
    if replaced is not None:
        _clear(union, replaced, target)
    if union.keeps_deleted and replaced is not None and deleted.is_to_live_on(replaced, *target):
        at = exchange.replace(union, _upper(target), target.name, lambda: _move(union, inode, source, target))
        deleted.note(union, replaced, at)
    else:
        _move(union, inode, source, target)
    _upper(target).lift_whiteout(target.name)
    if replaced is not None:
        _lose(union, replaced, target)
    _note_move(union, inode, source, target)


def _must_find(union: Union, place: Place) -> Inode:
    found = union.find(place.parent, place.name)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return found[0]


def _upper(place: Place) -> DirectoryFolder:
    """Return the upper folder of a place whose directory has been copied up."""
    assert place.parent.upper is not None
    return place.parent.upper


def _prepare(union: Union, inode: Inode) -> None:
    """Bring what shall be renamed into the upper."""
    if isinstance(inode, Directory) and inode.lowers:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    copy_up.file(union, inode)


def _clear(union: Union, replaced: Inode, place: Place) -> None:
    """Make what is about to be replaced replaceable, and hold it for who has it open."""
    if not isinstance(replaced, Directory):
        if not union.keeps_deleted:
            replaced.keep(*place)
        return
    entries.check_empty(union, replaced)
    if replaced.upper is not None and not union.keeps_deleted:
        whiteouts.clear(replaced.upper)
        replaced.upper.pin()


def _lose(union: Union, replaced: Inode, place: Place) -> None:
    if isinstance(replaced, Directory):
        entries.lose_directory(union, replaced)
    else:
        entries.lose_name(union, replaced, *place)


def _make_opaque(union: Union, inode: Inode, place: Place) -> None:
    """Let a directory that comes to `place` hide what the lower layers have there."""
    if isinstance(inode, Directory) and union.shines_through(*place):
        assert inode.upper is not None
        inode.upper.set_opacity(Opacity.OPAQUE)


def _move(union: Union, inode: Inode, source: Place, target: Place) -> None:
    """Rename in the upper, leaving a whiteout if a lower layer has the old name."""
    folder, new_folder = _upper(source), _upper(target)
    leaves_whiteout = union.shines_through(*source)
    _make_opaque(union, inode, target)
    # A directory cannot replace a whiteout: they change places.
    if isinstance(inode, Directory) and whiteouts.is_at(new_folder, target.name) and new_folder.has(target.name):
        _swap_with_whiteout(union, source, target)
        if not leaves_whiteout:
            os.unlink(source.name, dir_fd=folder.descriptor)
        return
    if leaves_whiteout and folder.dotted:
        folder.white_out(source.name)
        leaves_whiteout = False
    if leaves_whiteout:
        from fuse_overlay.renameat2 import WHITEOUT, renameat2  # ctypes: 10 ms

        try:
            renameat2(folder.descriptor, source.name, new_folder.descriptor, target.name, WHITEOUT)
        except OSError as error:
            if error.errno not in _NO_WHITEOUT:
                raise
        else:
            return
    os.rename(source.name, target.name, src_dir_fd=folder.descriptor, dst_dir_fd=new_folder.descriptor)
    if leaves_whiteout:
        whiteouts.make(union, folder, source.name)


def _swap(one: Place, other: Place) -> None:
    """Let what two names of the upper are change places."""
    from fuse_overlay.renameat2 import renameat2  # ctypes: 10 ms

    renameat2(_upper(one).descriptor, one.name, _upper(other).descriptor, other.name, EXCHANGE)


def _swap_with_whiteout(union: Union, source: Place, target: Place) -> None:
    folder, new_folder = _upper(source), _upper(target)
    try:
        _swap(source, target)
    except OSError as error:
        if error.errno not in exchange.UNKNOWN:
            raise
    else:
        return
    old, new = folder.descriptor, new_folder.descriptor
    whiteout = exchange.replace(
        union, new_folder, target.name, lambda: os.rename(source.name, target.name, src_dir_fd=old, dst_dir_fd=new)
    )
    os.rename(whiteout, source.name, src_dir_fd=union.work.descriptor, dst_dir_fd=old)


def _exchange(union: Union, one: Place, one_inode: Inode, other: Place, other_inode: Inode) -> None:
    """Let two names change places."""
    for place, inode in ((one, one_inode), (other, other_inode)):
        _prepare(union, inode)
        copy_up.directory(union, place.parent)
    _make_opaque(union, one_inode, other)
    _make_opaque(union, other_inode, one)
    _swap(one, other)
    if one_inode is not other_inode:
        _note_exchange(one_inode, one, other)
        _note_exchange(other_inode, other, one)


def _note_exchange(inode: Inode, source: Place, target: Place) -> None:
    """Note the new place of one of two inodes; the other overwrites what is noted of its old place."""
    if isinstance(inode, Directory):
        if source.parent.subdirectories.get(source.name) is inode:
            del source.parent.subdirectories[source.name]
        _place_directory(inode, target)
    else:
        _note_file_move(inode, source, target)


def _note_move(union: Union, inode: Inode, source: Place, target: Place) -> None:
    _note_exchange(inode, source, target)
    union.inodes.release(source.parent)


def _place_directory(directory: Directory, target: Place) -> None:
    assert directory.upper is not None
    target.parent.subdirectories[target.name] = directory
    directory.parent, directory.name = target
    directory.upper.move(_upper(target), target.name)


def _note_file_move(inode: Inode, source: Place, target: Place) -> None:
    if inode.parent is source.parent and inode.name == source.name:
        source.parent.children -= 1
        target.parent.children += 1
        inode.parent, inode.name = target
        inode.folder, inode.file = _upper(target), target.name
        return
    if inode.aliases and source in inode.aliases:
        inode.aliases.remove(source)
        source.parent.children -= 1
    inode.add_name(*target)
