"""The FUSE requests, each as a coroutine that never waits; the one place that turns exceptions into errno replies.

What is not here answers ENOSYS once, and the kernel asks no more: FLUSH (data are written back before it), ACCESS (the mount option
default_permissions lets the kernel decide) and POLL.
"""

import errno
import os
import stat
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, TypeVar

from fuse_overlay import attributes, copy_up, entries, xattrs
from fuse_overlay.attributes import entry_of
from fuse_overlay.entries import New
from fuse_overlay.files import OpenFiles
from fuse_overlay.inodes import Directory, Inode
from fuse_overlay.readdir import OpenDirectories
from fuse_overlay.rename import Place, rename
from fuse_overlay.standins import pyfuse3
from fuse_overlay.union import Union

Reply = TypeVar("Reply")


def _request(handle: Callable[..., Reply]) -> Callable[..., Coroutine[Any, Any, Reply]]:
    """Make the handler of a request: a coroutine that raises nothing but `pyfuse3.FUSEError`."""

    @wraps(handle)
    async def handler(self: "OverlayOperations", *arguments: Any) -> Reply:
        try:
            return handle(self, *arguments)
        except OSError as error:
            raise pyfuse3.FUSEError(error.errno or errno.EIO) from None
        except KeyError:  # an inode number that the kernel should not know any more
            raise pyfuse3.FUSEError(errno.ESTALE) from None
        except MemoryError:
            raise pyfuse3.FUSEError(errno.ENOMEM) from None
        except Exception:  # a mistake of ours: the asker must not hang, and the words go to the container's engine log
            sys.excepthook(*sys.exc_info())
            raise pyfuse3.FUSEError(errno.EIO) from None

    return handler


class OverlayOperations(pyfuse3.Operations):
    """The requests on one union."""

    supports_dot_lookup = False  # only NFS export needs it
    enable_writeback_cache = True
    enable_acl = False

    def __init__(self, union: Union) -> None:
        super().__init__()
        self._union = union
        self._inodes = union.inodes
        self._owners = union.owners
        self._files = OpenFiles(union)
        self._contents = self._files.contents
        self._directories = OpenDirectories(union)
        self._lost: dict[int, int] = {}  # inode -> errno of a write to it that failed

    def _entry(self, inode: Inode, status: os.stat_result) -> Any:
        """Return the attributes of an inode that the kernel has looked up."""
        inode.lookups += 1
        return entry_of(self._union, inode, status)

    def _made(self, parent: Directory, name: bytes) -> Any:
        """Return the attributes of what was just made."""
        found = self._union.find(parent, name)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self._entry(*found)

    @_request
    def lookup(self, parent: int, name: bytes, _context: Any) -> Any:
        """LOOKUP: find a name; that it is absent is an answer to be remembered."""
        found = self._union.find(self._inodes.directory(parent), name)
        return attributes.absent() if found is None else self._entry(*found)

    async def forget(self, forgotten: Sequence[tuple[int, int]]) -> None:
        """FORGET: take look-ups back."""
        for number, lookups in forgotten:
            self._inodes.forget(number, lookups)

    @_request
    def getattr(self, number: int, _context: Any) -> Any:
        """GETATTR."""
        if self._lost and number in self._lost:
            raise OSError(self._lost.pop(number), "")
        inode = self._inodes[number]
        return entry_of(self._union, inode, inode.status())

    @_request
    def setattr(self, number: int, wanted: Any, fields: Any, handle: int | None, _context: Any) -> Any:
        """SETATTR: chmod, chown, truncate, utimes."""
        inode = self._inodes[number]
        return entry_of(self._union, inode, attributes.change(self._union, inode, wanted, fields, handle))

    @_request
    def readlink(self, number: int, _context: Any) -> bytes:
        """READLINK."""
        inode = self._inodes[number]
        if inode.anchor >= 0:
            return os.readlink(b"", dir_fd=inode.anchor)
        return inode.folder.read_link(inode.file)

    @_request
    def mknod(self, parent: int, name: bytes, mode: int, device: int, context: Any) -> Any:
        """MKNOD."""
        directory = self._inodes.directory(parent)
        entries.make_node(self._union, directory, name, device, New(mode, context.uid, context.gid))
        return self._made(directory, name)

    @_request
    def mkdir(self, parent: int, name: bytes, mode: int, context: Any) -> Any:
        """MKDIR."""
        directory = self._inodes.directory(parent)
        entries.make_directory(self._union, directory, name, New(mode, context.uid, context.gid))
        return self._made(directory, name)

    @_request
    def symlink(self, parent: int, name: bytes, target: bytes, context: Any) -> Any:
        """SYMLINK."""
        directory = self._inodes.directory(parent)
        entries.make_symlink(self._union, directory, name, target, New(stat.S_IFLNK | 0o777, context.uid, context.gid))
        return self._made(directory, name)

    @_request
    def link(self, number: int, new_parent: int, new_name: bytes, _context: Any) -> Any:
        """LINK."""
        inode = self._inodes[number]
        entries.make_link(self._union, inode, self._inodes.directory(new_parent), new_name)
        return self._entry(inode, inode.status())

    @_request
    def unlink(self, parent: int, name: bytes, _context: Any) -> None:
        """UNLINK."""
        entries.unlink(self._union, self._inodes.directory(parent), name)

    @_request
    def rmdir(self, parent: int, name: bytes, _context: Any) -> None:
        """RMDIR."""
        entries.remove_directory(self._union, self._inodes.directory(parent), name)

    @_request
    def rename(self, parent: int, name: bytes, new_parent: int, new_name: bytes, flags: int, _context: Any) -> None:
        """RENAME2."""
        rename(self._union, Place(self._inodes.directory(parent), name), Place(self._inodes.directory(new_parent), new_name), flags)

    @_request
    def open(self, number: int, flags: int, _context: Any) -> Any:
        """OPEN."""
        return self._files.open(self._inodes[number], flags)

    @_request
    def create(self, parent: int, name: bytes, mode: int, flags: int, context: Any) -> tuple[Any, Any]:
        """CREATE: make and open."""
        directory = self._inodes.directory(parent)
        info = self._files.create(directory, name, flags, New(stat.S_IFREG | (mode & 0o7777), context.uid, context.gid))
        return info, self._made(directory, name)

    @_request
    def read(self, handle: int, offset: int, size: int) -> bytes:
        """READ."""
        if self._contents:
            return self._files.read(handle, offset, size)
        return os.pread(handle, size, offset)

    @_request
    def write(self, handle: int, offset: int, content: bytes) -> int:
        """WRITE."""
        try:
            written = os.pwrite(handle, content, offset)
            while written < len(content):  # the kernel takes what it writes back for written; the next one says why not
                written += os.pwrite(handle, content[written:], offset + written)
        except OSError as error:
            self._note_loss(handle, error)
            raise
        if self._owners.set_ids:
            self._owners.written_to(handle)
        return written

    def _note_loss(self, handle: int, error: OSError) -> None:
        """See to it that the next write(2) to a file fails, too: what is written back later fails unseen until fsync or close.

        Before each write the kernel asks for attributes that it does not know any more, and gives up where it gets none.
        """
        number = self._inodes.number_of(os.fstat(handle))
        self._lost[number] = error.errno or errno.EIO
        pyfuse3.invalidate_inode(number, attr_only=True)  # without the pages, so it waits for nothing

    @_request
    def release(self, handle: int) -> None:
        """RELEASE: the last descriptor of an open file is gone."""
        if self._lost:  # close(2) has told of it
            self._lost.pop(self._inodes.number_of(os.fstat(handle)), None)
        self._files.release(handle)

    @_request
    def fsync(self, handle: int, data_only: bool) -> None:
        """FSYNC."""
        (os.fdatasync if data_only else os.fsync)(handle)
        self._owners.sync()

    @_request
    def opendir(self, number: int, _context: Any) -> int:
        """OPENDIR."""
        return self._directories.open(self._inodes.directory(number))

    @_request
    def readdir(self, handle: int, start: int, token: Any) -> None:
        """READDIRPLUS."""
        self._directories.read(handle, start, token)

    @_request
    def releasedir(self, handle: int) -> None:
        """RELEASEDIR."""
        self._directories.release(handle)

    @_request
    def fsyncdir(self, handle: int, _data_only: bool) -> None:
        """FSYNCDIR."""
        folder = self._directories.directory(handle).upper
        if folder is not None:
            descriptor = folder.open(b".", os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._owners.sync()

    @_request
    def statfs(self, _context: Any) -> Any:
        """STATFS: that of the upper."""
        found = os.fstatvfs(self._union.upper.descriptor)
        reply = pyfuse3.StatvfsData()
        for field in ("f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail", "f_files", "f_ffree", "f_favail", "f_namemax"):
            setattr(reply, field, getattr(found, field))
        return reply

    @_request
    def listxattr(self, number: int, _context: Any) -> list[bytes]:
        """LISTXATTR."""
        return xattrs.list_names(self._inodes[number])

    @_request
    def getxattr(self, number: int, name: bytes, _context: Any) -> bytes:
        """GETXATTR."""
        return xattrs.get(self._inodes[number], name)

    @_request
    def setxattr(self, number: int, name: bytes, value: bytes, _context: Any) -> None:
        """SETXATTR; pyfuse3 has checked XATTR_CREATE and XATTR_REPLACE."""
        inode = self._inodes[number]
        copy_up.file(self._union, inode)
        xattrs.set_value(inode, name, value)

    @_request
    def removexattr(self, number: int, name: bytes, _context: Any) -> None:
        """REMOVEXATTR."""
        inode = self._inodes[number]
        xattrs.get(inode, name)  # what is not there needs no copy-up
        copy_up.file(self._union, inode)
        xattrs.remove(inode, name)
