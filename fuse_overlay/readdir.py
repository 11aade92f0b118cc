"""Reading directories (kernel: fs/overlayfs/readdir.c): the names of all folders, each once, without what whiteouts hide.

A listing is made when reading starts at its beginning, and stays as it is for that open directory; names removed since are left
out. Every entry is sent with its attributes (READDIRPLUS), which counts as a look-up, so that find or ls -l ask nothing more.
"""

from typing import Any, Final

from fuse_overlay.attributes import entry_of
from fuse_overlay.inodes import Directory
from fuse_overlay.layer import ITSELF
from fuse_overlay.standins import pyfuse3
from fuse_overlay.union import Union

_PARENT: Final = b".."


class OpenDirectories:
    """The directories that are open for reading, by handle."""

    def __init__(self, union: Union) -> None:
        self._union = union
        self._last = 0
        self._open: dict[int, tuple[Directory, list[bytes]]] = {}

    def open(self, directory: Directory) -> int:
        """Return a handle."""
        self._last += 1
        self._open[self._last] = (directory, [])
        return self._last

    def directory(self, handle: int) -> Directory:
        """Return the directory that a handle is open on."""
        return self._open[handle][0]

    def release(self, handle: int) -> None:
        """Close a handle."""
        del self._open[handle]

    def read(self, handle: int, start: int, token: Any) -> None:
        """Reply with the entries from the index `start` on, as many as fit."""
        directory, names = self._open[handle]
        if start == 0:
            names[:] = [ITSELF, _PARENT, *self._names(directory)]
        for index in range(start, len(names)):
            if not self._reply(directory, names[index], token, index + 1):
                break

    def _names(self, directory: Directory) -> list[bytes]:
        found: dict[bytes, None] = {}
        for folder in directory.folders:
            for name, _kind in folder.entries():
                found[name] = None
        return list(found)

    def _reply(self, directory: Directory, name: bytes, token: Any, next_index: int) -> bool:
        """Reply with one entry, or with none if the name is hidden; return False when there was no room."""
        union = self._union
        if name in (ITSELF, _PARENT):
            shown = directory if name == ITSELF else directory.parent or directory
            return bool(pyfuse3.readdir_reply(token, name, entry_of(union, shown, shown.status()), next_index))
        found = union.find(directory, name)
        if found is None:
            return True
        inode, status = found
        if not pyfuse3.readdir_reply(token, name, entry_of(union, inode, status), next_index):
            union.inodes.forget(inode.number, 0)
            return False
        inode.lookups += 1
        return True
