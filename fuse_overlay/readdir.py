"""Reading directories (kernel: fs/overlayfs/readdir.c): the names of all folders, each once, without what whiteouts hide.

A listing is made when reading starts at its beginning, and stays as it is for that open directory; names removed since are left
out. Every entry is sent with its attributes (READDIRPLUS), which counts as a look-up, so that find or ls -l ask nothing more.

The kernel does not keep what it was told here, and asks again each time. Of a directory that has no upper the answer is kept:
nothing in it changes but by a copy-up, which gives the directory an upper first; of a file with more names, perhaps another one.
"""

from typing import Any, Final

from fuse_overlay.attributes import entry_of
from fuse_overlay.inodes import Directory, Inode
from fuse_overlay.layer import ITSELF
from fuse_overlay.standins import pyfuse3
from fuse_overlay.union import Union

_PARENT: Final = b".."
_MOST_KEPT: Final = 50_000  # entries of all directories, some 400 bytes each


class OpenDirectories:
    """The directories that are open for reading, by handle."""

    def __init__(self, union: Union) -> None:
        self._union = union
        self._last = 0
        self._open: dict[int, tuple[Directory, list[bytes]]] = {}
        self._kept: dict[Directory, dict[bytes, tuple[Inode, Any]]] = {}  # those without an upper, the oldest first
        self._count = 0  # entries in `_kept`

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
        kept, inodes = self._entries_of(directory), self._union.inodes
        if start == 0:
            names[:] = [ITSELF, _PARENT, *self._names(directory)]
        for index in range(start, len(names)):
            name = names[index]
            known = kept.get(name) if kept else None
            if known is not None and inodes.get(known[0].number) is known[0] and not known[0].in_upper:
                if not pyfuse3.readdir_reply(token, name, known[1], index + 1):
                    break
                known[0].lookups += 1
            elif not self._reply(directory, name, token, index + 1, kept):
                break

    def _entries_of(self, directory: Directory) -> dict[bytes, tuple[Inode, Any]] | None:
        """Return what is kept of a directory, to be filled; None where nothing is to be kept."""
        kept = self._kept.get(directory)
        if directory.upper is not None or self._union.inodes.get(directory.number) is not directory:
            if kept is not None:
                self._count -= len(self._kept.pop(directory))
            return None
        if kept is None:
            kept = self._kept[directory] = {}
        while self._count > _MOST_KEPT and len(self._kept) > 1:
            oldest = next(iter(self._kept))
            if oldest is directory:
                self._kept[directory] = self._kept.pop(directory)  # it is in use: the newest
                continue
            self._count -= len(self._kept.pop(oldest))
        return kept

    def _names(self, directory: Directory) -> list[bytes]:
        found: dict[bytes, None] = {}
        for folder in directory.folders:
            for name, _kind in folder.entries():
                found[name] = None
        return list(found)

    def _reply(
        self, directory: Directory, name: bytes, token: Any, next_index: int, kept: dict[bytes, tuple[Inode, Any]] | None
    ) -> bool:
        """Reply with one entry, or with none if the name is hidden; return False when there was no room."""
        union = self._union
        if name in (ITSELF, _PARENT):
            shown = directory if name == ITSELF else directory.parent or directory
            return bool(pyfuse3.readdir_reply(token, name, entry_of(union, shown, shown.status()), next_index))
        found = union.find(directory, name)
        if found is None:
            return True
        inode, status = found
        entry = entry_of(union, inode, status)
        if not pyfuse3.readdir_reply(token, name, entry, next_index):
            union.inodes.forget(inode.number, 0)
            return False
        inode.lookups += 1
        if kept is not None and self._count <= _MOST_KEPT:
            self._count += name not in kept
            kept[name] = inode, entry
        return True
