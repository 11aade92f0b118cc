"""Open files (kernel: fs/overlayfs/file.c). FUSE's file handle is the descriptor's number, so reading and writing look nothing up.

A layer that has no descriptor of the content gives a `Content`; its handle is an empty file's until copy-up puts the copy there.

With the writeback cache the kernel reads and writes pages through any open handle of the inode: a handle for writing is also for
reading, and never appends, because the kernel places every write itself.
"""

import os
from typing import Any, Final

from fuse_overlay import copy_up, entries
from fuse_overlay.entries import New
from fuse_overlay.inodes import Directory, Inode
from fuse_overlay.layer import Content, DirectoryFolder
from fuse_overlay.standins import pyfuse3
from fuse_overlay.union import Union

_WRITES: Final = os.O_WRONLY | os.O_RDWR
_OPENED: Final = os.O_CLOEXEC | os.O_NOFOLLOW


class OpenFiles:
    """The handles that are open on lower files: they must follow a copy-up."""

    def __init__(self, union: Union) -> None:
        self._union = union
        self._lower: dict[int, Inode] = {}
        self.contents: dict[int, Content] = {}  # of those of them that are not read by their descriptor

    def open(self, inode: Inode, flags: int) -> Any:
        """Open a regular file, after copy-up if for writing; return the `pyfuse3.FileInfo`."""
        writes = bool(flags & _WRITES)
        if writes or flags & os.O_TRUNC:
            copy_up.file(self._union, inode, 0 if flags & os.O_TRUNC else None)
        wanted = (os.O_RDWR if writes else os.O_RDONLY) | (flags & os.O_TRUNC)
        opened = os.open(inode.path(), wanted | os.O_CLOEXEC) if inode.anchor >= 0 else inode.folder.open(inode.file, wanted)
        handle = opened if isinstance(opened, int) else self._handle_of(opened)
        if not inode.in_upper:
            self._lower[handle] = inode
            inode.lower_handles = (inode.lower_handles or set()) | {handle}
        return pyfuse3.FileInfo(fh=handle, keep_cache=True)

    def create(self, parent: Directory, name: bytes, flags: int, new: New) -> Any:
        """Make and open a regular file; return the `pyfuse3.FileInfo`. Without O_EXCL an existing file is opened."""

        def maker(folder: DirectoryFolder, at: bytes) -> int:
            mode = self._union.owners.disk_mode(new.mode)
            handle = os.open(at, os.O_CREAT | os.O_EXCL | os.O_RDWR | _OPENED, mode, dir_fd=folder.descriptor)
            entries.give(self._union, parent, folder, at, new)
            return handle

        try:
            return pyfuse3.FileInfo(fh=entries.make(self._union, parent, name, maker), keep_cache=True)
        except FileExistsError:
            found = None if flags & os.O_EXCL else self._union.find(parent, name)
            if found is None:
                raise
            return self.open(found[0], flags)

    def _handle_of(self, content: Content) -> int:
        handle = os.memfd_create("content")
        self.contents[handle] = content
        return handle

    def read(self, handle: int, offset: int, size: int) -> bytes:
        """Read from a handle, when there are any `contents`."""
        content = self.contents.get(handle)
        if content is None or self._lower[handle].in_upper:
            return os.pread(handle, size, offset)
        return content.read(offset, size)

    def release(self, handle: int) -> None:
        """Close a handle."""
        content = self.contents.pop(handle, None)
        if content is not None:
            content.close()
        inode = self._lower.pop(handle, None)
        if inode is not None and inode.lower_handles is not None:
            inode.lower_handles.discard(handle)
        os.close(handle)
