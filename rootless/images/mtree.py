r"""What an unpacked layer has on disk, written a line a file while it is unpacked, so that `rl system check` can compare.

    KIND MODE UID GID SIZE MTIME CONTENT XATTRS PATH [MORE]      mode octal, mtime in ns, both checksums hexadecimal
    f d l p w     regular file, folder, symbolic link, FIFO, whiteout
    s             sparse file; MORE is its map `OFFSET:LENGTH,…`, and CONTENT covers these pieces only
    h PATH MORE   hard link to MORE, as that was when the line was written
    x PATH        removed, with all below it

A later line on a path replaces an earlier one, as a later member of the tar does; so nothing is kept in memory while unpacking.
Paths have blanks, line ends and backslashes as `\ooo`, as in mtree(5). CONTENT is the CRC-32 of the file, or of a link's target:
it costs nothing beside writing the file, and finds damage; against forgery there is the blob's digest, from which a layer can be
unpacked again.
"""

import errno
import io
import os
import re
from collections.abc import Iterable
from typing import IO, Final, NamedTuple

from isal import isal_zlib

from rootless.errors import CorruptImage

REGULAR: Final = b"f"
SPARSE: Final = b"s"
FOLDER: Final = b"d"
SYMLINK: Final = b"l"
FIFO: Final = b"p"
WHITEOUT: Final = b"w"
_HARD_LINK: Final = b"h"
_REMOVED: Final = b"x"
_SPECIAL: Final = re.compile(rb"[\s\\]")
_ESCAPED: Final = re.compile(rb"\\([0-7]{3})")
_CHECKED_XATTRS: Final = ("user.", "security.capability")  # labels and ACLs are the node's own


class OnDisk(NamedTuple):
    """What a file has on disk; `xattrs` is a checksum (0: none), owner and group are as seen in the parent namespace."""

    mode: int
    uid: int
    gid: int
    mtime: int
    xattrs: int


class Entry(NamedTuple):
    """One file: see above; `pieces` are those of a sparse file."""

    kind: bytes
    attributes: OnDisk
    size: int
    content: int
    pieces: tuple[tuple[int, int], ...] = ()


NO_ATTRIBUTES: Final = OnDisk(0, 0, 0, 0, 0)


class RecordWriter:
    """Writes the lines of one layer to a file that the caller opens and closes."""

    def __init__(self, file: IO[bytes] | None = None) -> None:
        self._write = (file or io.BytesIO()).write

    def add(self, path: bytes, kind: bytes, attributes: OnDisk, size: int = 0, content: int = 0, more: bytes = b"") -> None:
        """Note a file."""
        mode, uid, gid, mtime, xattrs = attributes
        if _SPECIAL.search(path):
            path = _escaped(path)
        fields = (kind, mode, uid, gid, size, mtime, content, xattrs, path, more)
        self._write(b"%b %o %d %d %d %d %x %x /%b %b\n" % fields)

    def add_sparse(self, path: bytes, attributes: OnDisk, size: int, content: int, pieces: Iterable[tuple[int, int]]) -> None:
        """Note a sparse file with the offset and length of its pieces."""
        self.add(path, SPARSE, attributes, size, content, b",".join(b"%d:%d" % piece for piece in pieces))

    def add_hard_link(self, path: bytes, target: bytes) -> None:
        """Note a further name of a file."""
        self._write(b"h /%b /%b\n" % (_escaped(path), _escaped(target)))

    def remove(self, path: bytes) -> None:
        """Note that what was at `path`, and below it, is gone."""
        self._write(b"x /%b\n" % _escaped(path))


def read(lines: Iterable[bytes]) -> dict[bytes, Entry]:
    """Return the entries of a record by path. Raises `CorruptImage` for one that is damaged."""
    entries: dict[bytes, Entry] = {}
    for line in lines:
        try:
            _read_line(line, entries)
        except (ValueError, KeyError, IndexError) as error:
            raise CorruptImage(f"the record of a layer's files has a damaged line: {line[:80]!r}") from error
    return entries


def crc32(data: bytes | memoryview, before: int = 0) -> int:
    """Return the CRC-32 of `data`, going on from that of what came before."""
    return int(isal_zlib.crc32(data, before))


def checksum_of_xattrs(target: int | str) -> int:
    """Return a checksum of those xattrs of a file that a layer sets; 0 without any."""
    follow = isinstance(target, int)
    checksum = 0
    try:
        names = sorted(os.listxattr(target, follow_symlinks=follow))
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:  # a disk that has none
            return 0
        raise
    for name in names:
        if name.startswith(_CHECKED_XATTRS):
            checksum = crc32(b"%b=%b\0" % (os.fsencode(name), os.getxattr(target, name, follow_symlinks=follow)), checksum)
    return checksum


def _read_line(line: bytes, entries: dict[bytes, Entry]) -> None:
    fields = line.split(b" ")
    kind = fields[0]
    if kind == _HARD_LINK:
        entries[_path(fields[1])] = entries[_path(fields[2].rstrip(b"\n"))]
    elif kind == _REMOVED:
        path = _path(fields[1].rstrip(b"\n"))
        if (entries.pop(path, None) or Entry(FOLDER, NO_ATTRIBUTES, 0, 0)).kind == FOLDER:
            for one in [one for one in entries if one.startswith(path + b"/")]:
                del entries[one]
    else:
        _, mode, uid, gid, size, mtime, content, xattrs, path, more = fields
        attributes = OnDisk(int(mode, 8), int(uid), int(gid), int(mtime), int(xattrs, 16))
        entries[_path(path)] = Entry(kind, attributes, int(size), int(content, 16), _pieces(more) if kind == SPARSE else ())


def _pieces(text: bytes) -> tuple[tuple[int, int], ...]:
    pairs = (piece.split(b":") for piece in text.split(b",") if piece.strip())
    return tuple((int(offset), int(length)) for offset, length in pairs)


def _escaped(path: bytes) -> bytes:
    return _SPECIAL.sub(lambda found: b"\\%03o" % found[0][0], path)


def _path(field: bytes) -> bytes:
    if field[:1] != b"/":
        raise ValueError("a path has no slash before it")
    path = field[1:]
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), path) if b"\\" in path else path
