"""Where owner, group, mode and type of files are: on the files themselves, or noted (the flat form).

A native folder needs nothing of this file to be read; the upper is written by `NativeOwners` or `FlatOwners`. In the flat form all
files on disk are the server's own, with no mode bit that means anything to the disk but that it may read and write them: so a user
can have files of any ID without owning one, and plain rm removes them. Rules that the kernel keeps on a disk (a set-group-ID folder
passes its group on; writing, truncating and chown take set-ID bits away) are kept here for what is noted.
"""

import errno
import os
import stat
from typing import Final, Protocol

from fuse_overlay import noted
from fuse_overlay.noted import ATTRIBUTE, Noted, parse
from fuse_overlay.probes import has_xattrs
from fuse_overlay.side_files import UpperNotes, read_of_layer

_CARRY: Final = (stat.S_IFREG, stat.S_IFDIR)  # the types that have user xattrs
_NOT_NOTED: Final = (errno.ENODATA, errno.EOPNOTSUPP)
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID


class Place(Protocol):
    """A folder on disk, as far as it is needed here (see `layer.DirectoryFolder`)."""

    @property
    def descriptor(self) -> int:
        """A descriptor of the folder."""
        ...

    def path(self, name: bytes) -> bytes:
        """Return a path for system calls without a directory descriptor."""
        ...

    def where(self, name: bytes) -> bytes:
        """Return the path of `name` below the layer's root."""
        ...


class Notes(Protocol):
    """What is noted of the files of one tree."""

    def shown(self, status: os.stat_result, folder: Place, name: bytes) -> os.stat_result:
        """Return the status that `name` in `folder` shall be shown with, when it has `status` on disk."""
        ...

    def shown_at(self, status: os.stat_result, path: bytes) -> os.stat_result:
        """Return the same of a file that has no name, but a magic link."""
        ...


class LayerNotes:
    """The notes of a flat layer, whose root is open as `tree`."""

    def __init__(self, tree: int) -> None:
        self._beside = read_of_layer(tree)
        self._has_xattrs = has_xattrs(tree)

    def shown(self, status: os.stat_result, folder: Place, name: bytes) -> os.stat_result:
        """See `Notes.shown`."""
        if self._has_xattrs and stat.S_IFMT(status.st_mode) in _CARRY:
            found = _read(folder.path(name), follows=False)
        else:
            found = self._beside.get(folder.where(name)) if self._beside else None
        return status if found is None else noted.shown(status, found)

    def shown_at(self, status: os.stat_result, path: bytes) -> os.stat_result:  # noqa: ARG002 - as it says
        """Return it as it is: a layer's file does not lose its name."""
        return status


class Owners(Protocol):
    """How the upper keeps what its files' owner, group, mode and type are. A path that `follows` is a magic link to the file."""

    notes: Notes | None  # None: the disk has it
    set_ids: set[int]  # inodes on disk whose set-ID bits a write takes away, which the disk does not have

    def disk_mode(self, mode: int) -> int:
        """Return the mode that a new file or folder which shall be shown with `mode` is made with."""
        ...

    def make_node(self, folder: Place, name: bytes, mode: int, device: int) -> None:
        """Make a file that is neither a folder nor a symbolic link; what it is shown with is set later."""
        ...

    def give(self, folder: Place, name: bytes, wanted: Noted, parent: os.stat_result, *, in_place: bool) -> None:
        """Give a new file to its creator, or to the group of a set-group-ID parent (inode_init_owner in the kernel's fs/inode.c).

        `in_place`: it was made in the parent itself.
        """
        ...

    def copy(self, folder: Place, name: bytes, wanted: os.stat_result) -> None:
        """Give a copy the owner that it shall be shown with; `copy_mode` follows when its xattrs are there."""
        ...

    def copy_mode(self, folder: Place, name: bytes, wanted: os.stat_result) -> None:
        """Give a copy its mode; of a symbolic link nothing."""
        ...

    def chown(self, path: bytes, user: int, group: int, *, follows: bool) -> None:
        """Change owner and group; -1 leaves one as it is."""
        ...

    def chmod(self, path: bytes, mode: int, *, follows: bool) -> None:
        """Change the mode of anything but a symbolic link."""
        ...

    def written(self, path: bytes, *, follows: bool) -> None:
        """Take set-ID bits away, after a write or truncation."""
        ...

    def written_to(self, handle: int) -> None:
        """Do the same after a write to an open file, where `set_ids` has any."""
        ...

    def forget(self, status: os.stat_result) -> None:
        """Note that a file is gone for good."""
        ...

    def sync(self) -> None:
        """Have everything that is not on the files themselves on disk."""
        ...


class NativeOwners:
    """On the files themselves; `chowns`: False where only one ID is mapped, and chown(2) would fail."""

    notes: Notes | None = None

    def __init__(self, *, chowns: bool) -> None:
        self._chowns = chowns
        self.set_ids: set[int] = set()

    def disk_mode(self, mode: int) -> int:
        """See `Owners.disk_mode`."""
        return mode

    def make_node(self, folder: Place, name: bytes, mode: int, device: int) -> None:
        """See `Owners.make_node`."""
        os.mknod(name, mode, device, dir_fd=folder.descriptor)

    def give(self, folder: Place, name: bytes, wanted: Noted, parent: os.stat_result, *, in_place: bool) -> None:
        """See `Owners.give`."""
        inherits = bool(parent.st_mode & stat.S_ISGID)
        owner = wanted.user, parent.st_gid if inherits else wanted.group
        chowned = self._chowns and owner != (0, 0) and not (in_place and wanted[:2] == (0, 0))  # the disk does the latter
        if chowned:
            os.chown(name, *owner, dir_fd=folder.descriptor, follow_symlinks=False)
        if wanted.kind == stat.S_IFDIR:
            if wanted.mode & stat.S_ISVTX or (inherits and not in_place):
                os.chmod(name, wanted.mode | (stat.S_ISGID if inherits else 0), dir_fd=folder.descriptor)
        elif chowned and wanted.mode & _SET_ID and wanted.kind != stat.S_IFLNK:  # chown has taken them away
            os.chmod(name, wanted.mode, dir_fd=folder.descriptor)

    def copy(self, folder: Place, name: bytes, wanted: os.stat_result) -> None:
        """See `Owners.copy`."""
        if self._chowns:
            os.chown(name, wanted.st_uid, wanted.st_gid, dir_fd=folder.descriptor, follow_symlinks=False)

    def copy_mode(self, folder: Place, name: bytes, wanted: os.stat_result) -> None:
        """See `Owners.copy_mode`."""
        if not stat.S_ISLNK(wanted.st_mode):
            os.chmod(name, stat.S_IMODE(wanted.st_mode), dir_fd=folder.descriptor)

    def chown(self, path: bytes, user: int, group: int, *, follows: bool) -> None:
        """See `Owners.chown`."""
        if self._chowns:
            os.chown(path, user, group, follow_symlinks=follows)

    def chmod(self, path: bytes, mode: int, *, follows: bool) -> None:  # noqa: ARG002 - it is no symbolic link
        """See `Owners.chmod`."""
        os.chmod(path, mode)

    def written(self, path: bytes, *, follows: bool) -> None:
        """Do nothing: the disk does it, as the server has no CAP_FSETID outside of its user namespace."""

    def written_to(self, handle: int) -> None:
        """Do nothing: nothing is in `set_ids`."""

    def forget(self, status: os.stat_result) -> None:
        """Do nothing: nothing is kept of it."""

    def sync(self) -> None:
        """Do nothing: nothing is kept elsewhere."""


class FlatOwners:
    """Noted; `upper` is the open root of the upper."""

    def __init__(self, upper: int) -> None:
        self._beside = UpperNotes(upper)
        self._has_xattrs = has_xattrs(upper)
        self.notes: Notes | None = self
        self.set_ids: set[int] = set()

    def shown(self, status: os.stat_result, folder: Place, name: bytes) -> os.stat_result:
        """See `Notes.shown`."""
        return self._shown(status, folder.path(name), follows=False)

    def shown_at(self, status: os.stat_result, path: bytes) -> os.stat_result:
        """See `Notes.shown_at`."""
        return self._shown(status, path, follows=True)

    def disk_mode(self, mode: int) -> int:
        """See `Owners.disk_mode`; for a folder as for a file: whoever may search it may do so by its mode for the owner."""
        return (mode & 0o777) | (0o700 if stat.S_ISDIR(mode) else 0o600)

    def make_node(self, folder: Place, name: bytes, mode: int, device: int) -> None:  # noqa: ARG002 - `copy` notes the device
        """See `Owners.make_node`."""
        if stat.S_IFMT(mode) in (stat.S_IFIFO, stat.S_IFSOCK):
            os.mknod(name, stat.S_IFMT(mode) | self.disk_mode(mode), dir_fd=folder.descriptor)
            return
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        os.close(os.open(name, flags, self.disk_mode(mode), dir_fd=folder.descriptor))

    def give(self, folder: Place, name: bytes, wanted: Noted, parent: os.stat_result, *, in_place: bool) -> None:  # noqa: ARG002 - no disk helps
        """See `Owners.give`."""
        if parent.st_mode & stat.S_ISGID:
            mode = wanted.mode | stat.S_ISGID if wanted.kind == stat.S_IFDIR else wanted.mode
            wanted = wanted._replace(group=parent.st_gid, mode=mode)
        self._note(folder.path(name), wanted, follows=False)

    def copy(self, folder: Place, name: bytes, wanted: os.stat_result) -> None:
        """See `Owners.copy`."""
        self._note(folder.path(name), noted.of_status(wanted), follows=False)

    def copy_mode(self, folder: Place, name: bytes, wanted: os.stat_result) -> None:
        """See `Owners.copy_mode`; `copy` has noted it."""
        if not stat.S_ISLNK(wanted.st_mode):
            os.chmod(name, self.disk_mode(wanted.st_mode), dir_fd=folder.descriptor)

    def chown(self, path: bytes, user: int, group: int, *, follows: bool) -> None:
        """See `Owners.chown`."""
        status = os.stat(path, follow_symlinks=follows)
        now = noted.of_status(self._shown(status, path, follows=follows))
        mode = now.mode if now.kind == stat.S_IFDIR else _without_set_id(now.mode)
        changed = now._replace(user=now.user if user == -1 else user, group=now.group if group == -1 else group, mode=mode)
        self._note(path, changed, follows=follows)
        if not self._has_xattrs or stat.S_IFMT(status.st_mode) not in _CARRY:  # the note is not on the file: its ctime goes on
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=follows)

    def chmod(self, path: bytes, mode: int, *, follows: bool) -> None:
        """See `Owners.chmod`."""
        status = os.stat(path, follow_symlinks=follows)
        now = noted.of_status(self._shown(status, path, follows=follows))
        self._note(path, now._replace(mode=mode), follows=follows)
        os.chmod(path, self.disk_mode(now.kind | mode))

    def written(self, path: bytes, *, follows: bool) -> None:
        """See `Owners.written`."""
        status = os.stat(path, follow_symlinks=follows)
        now = noted.of_status(self._shown(status, path, follows=follows))
        if now.kind == stat.S_IFREG and now.mode & _SET_ID:
            self._note(path, now._replace(mode=_without_set_id(now.mode)), follows=follows)
        self.set_ids.discard(status.st_ino)

    def written_to(self, handle: int) -> None:
        """See `Owners.written_to`."""
        if os.fstat(handle).st_ino in self.set_ids:
            self.written(b"/proc/self/fd/%d" % handle, follows=True)

    def forget(self, status: os.stat_result) -> None:
        """See `Owners.forget`."""
        self._beside.drop(status.st_ino)
        self.set_ids.discard(status.st_ino)

    def sync(self) -> None:
        """See `Owners.sync`."""
        self._beside.sync()

    def _shown(self, status: os.stat_result, path: bytes, *, follows: bool) -> os.stat_result:
        if self._has_xattrs and stat.S_IFMT(status.st_mode) in _CARRY:
            found = _read(path, follows=follows)
        else:
            found = self._beside.get(status.st_ino)
        if found is None:
            return status
        if found.mode & _SET_ID and stat.S_ISREG(status.st_mode):
            self.set_ids.add(status.st_ino)
        return noted.shown(status, found)

    def _note(self, path: bytes, wanted: Noted, *, follows: bool) -> None:
        on_disk = stat.S_IFREG if wanted.kind in (stat.S_IFBLK, stat.S_IFCHR) else wanted.kind
        if self._has_xattrs and on_disk in _CARRY:
            os.setxattr(path, ATTRIBUTE, wanted.text(), follow_symlinks=follows)
            return
        number = os.stat(path, follow_symlinks=follows).st_ino
        if on_disk == stat.S_IFLNK and wanted[:2] == (0, 0):
            self._beside.drop(number)
        else:
            self._beside.put(number, wanted)


def _read(path: bytes, *, follows: bool) -> Noted | None:
    try:
        return parse(os.getxattr(path, ATTRIBUTE, follow_symlinks=follows))
    except OSError as error:
        if error.errno in _NOT_NOTED:
            return None
        raise


def _without_set_id(mode: int) -> int:
    """Return a file's mode after a write or a change of its owner (setattr_should_drop_suidgid in the kernel's fs/attr.c)."""
    mode &= ~stat.S_ISUID
    return mode & ~stat.S_ISGID if mode & stat.S_IXGRP else mode
