"""Reading directories (kernel: fs/overlayfs/readdir.c): the names of all folders, each once, without what whiteouts hide.

A listing is made when reading starts at its beginning, and stays as it is for that open directory; names removed since are left
out. Every entry is sent with its attributes (READDIRPLUS), which counts as a look-up, so that find or ls -l ask nothing more.

The kernel does not keep what it was told here, and asks again each time. Of a directory that has no upper the answer is kept:
nothing in it changes but by a copy-up, which gives the directory an upper first; of a file with more names, perhaps another one.
"""

from typing import Any, Final

from fuse_overlay.attributes import entry_of, reference
from fuse_overlay.inodes import Directory, Inode
from fuse_overlay.layer import ITSELF
from fuse_overlay.standins import pyfuse3
from fuse_overlay.union import Union

_PARENT: Final = b".."
_MOST_KEPT: Final = 50_000  # entries of all directories, some 400 bytes each


class Listing:
    """The names of a directory; of a listing that is kept also what was found and sent, each in the place of its name."""

    __slots__ = ("found", "names")

    def __init__(self, names: list[bytes]) -> None:
        self.names = names
        self.found: list[tuple[Inode, Any] | None] | None = None


class OpenDirectories:
    """The directories that are open for reading, by handle."""

    def __init__(self, union: Union) -> None:
        self._union = union
        self._last = 0
        self._open: dict[int, tuple[Directory, Listing]] = {}
        self._kept: dict[Directory, Listing] = {}  # of those without an upper, the oldest first
        self._count = 0  # names in `_kept`

    def open(self, directory: Directory) -> int:
        """Return a handle."""
        self._last += 1
        self._open[self._last] = directory, Listing([])
        return self._last

    def directory(self, handle: int) -> Directory:
        """Return the directory that a handle is open on."""
        return self._open[handle][0]

    def release(self, handle: int) -> None:
        """Close a handle."""
        del self._open[handle]

    def read(self, handle: int, start: int, token: Any) -> None:
        """Reply with the entries from the index `start` on, as many as fit."""
        directory, listing = self._open[handle]
        if start == 0:
            listing = self._listing_of(directory)
            self._open[handle] = directory, listing
        reply, names = pyfuse3.readdir_reply, listing.names
        found = listing.found if directory.upper is None else None
        for index in range(start, len(names)):
            known = found[index] if found is not None else None
            # Who has no look-up may have been dropped; a copy has other attributes.
            if known is not None and known[0].lookups > 0 and not known[0].in_upper:
                if not reply(token, names[index], known[1], index + 1):
                    break
                known[0].lookups += 1
            elif not self._reply(directory, listing, token, index):
                break

    def _read(self, directory: Directory) -> Listing:
        folders = directory.folders
        if len(folders) == 1:
            return Listing([ITSELF, _PARENT, *folders[0].names()])
        names = dict.fromkeys((ITSELF, _PARENT))
        for folder in folders:
            names.update(dict.fromkeys(folder.names()))
        return Listing(list(names))

    def _listing_of(self, directory: Directory) -> Listing:
        """Return the listing of a directory, kept if it may be."""
        listing = self._kept.pop(directory, None)
        if listing is not None:
            self._count -= len(listing.names)
        if directory.upper is not None or self._union.inodes.get(directory.number) is not directory:
            return self._read(directory)
        listing = listing or self._read(directory)
        if len(listing.names) <= _MOST_KEPT:
            listing.found = listing.found or [None] * len(listing.names)
            self._kept[directory] = listing  # the newest
            self._count += len(listing.names)
        while self._count > _MOST_KEPT:
            self._count -= len(self._kept.pop(next(iter(self._kept))).names)
        return listing

    def _reply(self, directory: Directory, listing: Listing, token: Any, index: int) -> bool:
        """Reply with one entry, or with none if the name is hidden; return False when there was no room."""
        union, name = self._union, listing.names[index]
        if name in (ITSELF, _PARENT):
            shown = directory if name == ITSELF else directory.parent or directory
            return bool(pyfuse3.readdir_reply(token, name, reference(shown), index + 1))
        found = union.find(directory, name)
        if found is None:
            return True
        inode, status = found
        entry = entry_of(union, inode, status)
        if not pyfuse3.readdir_reply(token, name, entry, index + 1):
            union.inodes.forget(inode.number, 0)
            return False
        inode.lookups += 1
        if listing.found is not None:
            listing.found[index] = inode, entry
        return True
