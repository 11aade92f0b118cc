"""Owner, mode, xattrs and times of unpacked files, in the two forms of layers (DESIGN section 3).

`native`: on the files themselves; needs a map with subordinate IDs and a disk that accepts chown. `flat`: all files are
the user's own; owner, mode and type are in the xattr `user.containers.override_stat`, as containers/storage and
fuse-overlayfs have it (`UID:GID:MODE:TYPE`), and for what cannot carry user xattrs (symbolic links, FIFOs; on NFS all) in the
layer's side file.
"""

import errno
import os
from typing import Final

from rootless.errors import NodeLacks
from rootless.images import tar
from rootless.images.mtree import OnDisk, checksum_of_xattrs
from rootless.images.tree import shown

OVERRIDE_STAT: Final = "user.containers.override_stat"
NATIVE: Final = "native"
FLAT: Final = "flat"

# An image must not forge what the union file system and the flat form keep in xattrs; trusted.* and the labels
# of this node's security modules cannot be set here and would not mean anything.
_DROPPED: Final = (b"user.overlay.", b"trusted.", b"user.containers.", b"security.selinux", b"security.ima", b"security.evm")
_TYPES: Final = {tar.REGULAR: "file", tar.DIRECTORY: "dir", tar.SYMLINK: "symlink", tar.FIFO: "pipe"}


class Attributes:
    """Sets attributes in one form, returns what is on disk then, and notes what the disk or the namespace refused."""

    def __init__(self, form: str) -> None:
        self.form = form
        self.side: list[list[str | int]] = []  # flat: [path, uid, gid, mode] of what carries no user xattr
        self.refused: dict[str, int] = {}  # xattr -> files

    def set_open(self, descriptor: int, member: tar.Member, path: bytes, *, opaque: bool = False) -> OnDisk:
        """Set all attributes of an open file or folder; `opaque` says that it has that mark already."""
        mode, uid, gid = member.mode, member.uid, member.gid
        if self.form == NATIVE:
            if uid or gid:
                _chown(descriptor, member)
        else:
            # No set-ID bit: on disk it would be the user's own.
            mode = (mode & 0o1777) | (0o700 if member.kind == tar.DIRECTORY else 0o600)
            uid = gid = 0
            self._note(descriptor, member, path, mode)
        os.fchmod(descriptor, mode)  # after chown, which clears set-ID bits
        if member.xattrs:
            self._set_xattrs(descriptor, member)
        os.utime(descriptor, ns=(member.mtime, member.mtime))
        has_xattrs = opaque or member.xattrs or self.form == FLAT
        return OnDisk(mode, uid, gid, member.mtime, checksum_of_xattrs(descriptor) if has_xattrs else 0)

    def set_named(self, parent: int, name: bytes, member: tar.Member, path: bytes) -> OnDisk:
        """Set the attributes of a symbolic link or FIFO, which are not opened."""
        uid = gid = 0
        if self.form == FLAT:
            self.side.append([path.decode(errors="surrogateescape"), member.uid, member.gid, member.mode])
        elif member.uid or member.gid:
            uid, gid = member.uid, member.gid
            _chown(name, member, parent)
        mode = 0o777
        if member.kind == tar.FIFO:
            mode = member.mode & (0o7777 if self.form == NATIVE else 0o777)
            os.chmod(name, mode, dir_fd=parent)
        os.utime(name, ns=(member.mtime, member.mtime), dir_fd=parent, follow_symlinks=False)
        return OnDisk(mode, uid, gid, member.mtime, 0)

    def _note(self, descriptor: int, member: tar.Member, path: bytes, mode: int) -> None:
        """Note owner and mode on a file that is root's and has `mode` on disk, or else in the side file."""
        try:
            os.setxattr(descriptor, OVERRIDE_STAT, override_stat(member).encode())
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            if (member.uid, member.gid, member.mode) != (0, 0, mode):
                self.side.append([path.decode(errors="surrogateescape"), member.uid, member.gid, member.mode])

    def _set_xattrs(self, descriptor: int, member: tar.Member) -> None:
        for key, value in member.xattrs.items():
            if key.startswith(_DROPPED):
                continue
            try:
                os.setxattr(descriptor, key, value)
            except OSError as error:
                if error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL, errno.E2BIG, errno.ERANGE}:
                    raise
                name = shown(key)
                self.refused[name] = self.refused.get(name, 0) + 1


def override_stat(member: tar.Member) -> str:
    """Return the value of `user.containers.override_stat` for a member."""
    return f"{member.uid}:{member.gid}:{member.mode:04o}:{_TYPES.get(member.kind, 'file')}"


def choose_form(folder: int) -> str:
    """Return the form that layers take here, by a real chown of a file in `folder` to a subordinate ID."""
    name = b"probe"
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=folder))
    try:
        os.chown(name, 1, 1, dir_fd=folder)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EPERM}:  # not in the map; refused by the file system
            raise
        return FLAT
    finally:
        os.unlink(name, dir_fd=folder)
    return NATIVE


def _chown(target: int | bytes, member: tar.Member, parent: int | None = None) -> None:
    try:
        os.chown(target, member.uid, member.gid, dir_fd=parent, follow_symlinks=parent is None)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise NodeLacks(
            f"{shown(member.name)!r} belongs to {member.uid}:{member.gid}, which is outside of your subordinate IDs",
            "ask the administrator for a larger range in /etc/subuid and /etc/subgid",
        ) from None
