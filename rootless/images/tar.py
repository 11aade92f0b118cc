"""Reading a tar as it streams by: ustar, PAX (POSIX.1-2008), GNU long names and numbers, all four forms of sparse files.

`tarfile` is not used: it needs a seekable or wholly buffered input for some of these, takes 4 times as long a member,
and decodes names, which are bytes. This file turns bytes into members; what they mean for a layer is `unpack`'s
business.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from rootless.errors import CorruptImage
from rootless.images.archive_errors import PULL_AGAIN

BLOCK: Final = 512
_ZEROS: Final = bytes(BLOCK)
_MAX_EXTENDED: Final = 1 << 20  # a PAX header or long name: paths end at 4 KiB, an xattr at 64 KiB
_MAX_SPARSE_PIECES: Final = 1 << 20
_MAX_OFFSET: Final = (1 << 63) - 1
_MAX_ID: Final = (1 << 32) - 2  # chown(2) takes the highest for "leave it"
_MAX_TIME: Final = (1 << 63) - 1  # ns: the year 2262

REGULAR: Final = b"0"
HARD_LINK: Final = b"1"
SYMLINK: Final = b"2"
CHARACTER: Final = b"3"
BLOCK_DEVICE: Final = b"4"
DIRECTORY: Final = b"5"
FIFO: Final = b"6"
_PAX: Final = b"x"
_PAX_GLOBAL: Final = b"g"
_GNU_LONG_NAME: Final = b"L"
_GNU_LONG_LINK: Final = b"K"
_GNU_SPARSE: Final = b"S"
_REGULAR_TYPES: Final = frozenset({b"0", b"\0", b"7", _GNU_SPARSE})
_SUPPORTED: Final = frozenset({HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO}) | _REGULAR_TYPES
_XATTR_PREFIX: Final = b"SCHILY.xattr."

_KINDS: Final = {
    stat.S_IFREG: REGULAR,
    stat.S_IFDIR: DIRECTORY,
    stat.S_IFLNK: SYMLINK,
    stat.S_IFIFO: FIFO,
    stat.S_IFCHR: CHARACTER,
    stat.S_IFBLK: BLOCK_DEVICE,
}  # a socket is nothing that a tar could hold

Pieces = list[tuple[int, int]]  # offset and length in bytes of the parts of a sparse file that hold data


class Member(NamedTuple):
    """One member. `kind` is a typeflag (REGULAR for all kinds of files); names are raw bytes; `mtime` is in ns since the epoch.

    `size` is the length of the file (also of a sparse one), `pieces` None for one without holes. `device` is (major,
    minor).
    """

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: bytes
    device: tuple[int, int]
    xattrs: dict[bytes, bytes]
    pieces: Pieces | None


def kind_of(mode: int) -> bytes | None:
    """Return the kind of member that a file with this st_mode is; None for a socket."""
    return _KINDS.get(stat.S_IFMT(mode))


def write_pieces(descriptor: int, pieces: Pieces, size: int, content: Iterable[memoryview]) -> None:
    """Write a sparse file of `size` bytes, whose pieces come one after the other in `content`, to an open empty file."""
    os.ftruncate(descriptor, size)
    remaining = iter(pieces)
    left = 0
    for chunk in content:
        rest = chunk
        while rest:
            while not left:
                offset, left = next(remaining)
                os.lseek(descriptor, offset, os.SEEK_SET)
            now, rest = rest[:left], rest[left:]
            left -= len(now)
            write_whole(descriptor, now)


def write_whole(descriptor: int, data: memoryview) -> None:
    """Write all of `data`."""
    while data:
        data = data[os.write(descriptor, data) :]


class TarReader:
    """Iterates over the members of a tar that comes in blocks; between two members `content` yields the bytes of the first."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._block = memoryview(b"")
        self._position = 0
        self._unread = 0  # of the current member's stored bytes
        self._padding = 0
        self._globals: dict[bytes, bytes] = {}

    def __iter__(self) -> Iterator[Member]:
        """Yield the members in order; at the end of the archive what follows is read and ignored, as it counts for the digest."""
        while True:
            self._skip_content()
            header = self._header()
            if header is None:
                break
            yield self._member(header)
        for _ in self._blocks:
            pass

    def content(self) -> Iterator[memoryview]:
        """Yield the stored bytes of the current member (for a sparse file those of its pieces, one after the other)."""
        while self._unread:
            piece = self._some(self._unread)
            self._unread -= len(piece)
            yield piece

    def _member(self, header: bytes) -> Member:
        """Read the extended headers before a member, and the member's own."""
        extended: dict[bytes, bytes] = {}
        holes: Pieces = []
        while (kind := header[156:157]) not in _SUPPORTED:
            self._extension(kind, header, extended, holes)
            following = self._header()
            if following is None:
                raise CorruptImage("the layer's tar ends after an extended header")
            header = following
        return self._build(header, {**self._globals, **extended}, holes)

    def _extension(self, kind: bytes, header: bytes, extended: dict[bytes, bytes], holes: Pieces) -> None:
        size = _number(header[124:136])
        if kind not in {_PAX, _PAX_GLOBAL, _GNU_LONG_NAME, _GNU_LONG_LINK}:
            raise CorruptImage(f"the layer's tar has a member of the unknown type {kind!r}: {_text(header[:100])!r}")
        if size > _MAX_EXTENDED:
            raise CorruptImage(f"the layer's tar has an extended header of {size} bytes")
        data = self._exactly(size)
        self._exactly(-size % BLOCK)
        if kind == _GNU_LONG_NAME:
            extended[b"path"] = data.split(b"\0")[0]
        elif kind == _GNU_LONG_LINK:
            extended[b"linkpath"] = data.split(b"\0")[0]
        elif kind == _PAX_GLOBAL:
            self._globals.update(parse_pax(data, []))  # git-archive's comment, usually
        else:
            extended.update(parse_pax(data, holes))

    def _build(self, header: bytes, extended: dict[bytes, bytes], holes: Pieces) -> Member:
        kind = header[156:157]
        stored = _decimal(extended, b"size", lambda: _number(header[124:136]))
        name = extended.get(b"GNU.sparse.name") or extended.get(b"path") or _ustar_name(header)
        if kind in _REGULAR_TYPES and name.endswith(b"/"):  # as pre-POSIX tars name directories
            kind = DIRECTORY
        if kind not in _REGULAR_TYPES:
            stored = 0  # links may give their target's size, but no bytes follow (POSIX, "ustar Interchange Format")
        self._unread, self._padding = stored, -stored % BLOCK
        size, pieces = stored, None
        if kind in _REGULAR_TYPES:
            size, pieces = self._sparse(kind, header, extended, holes, stored)
        return Member(
            name,
            REGULAR if kind in _REGULAR_TYPES else kind,
            _number(header[100:108]) & 0o7777,
            _decimal(extended, b"uid", lambda: _number(header[108:116]), _MAX_ID),
            _decimal(extended, b"gid", lambda: _number(header[116:124]), _MAX_ID),
            size,
            _time(extended.get(b"mtime"), header),
            extended.get(b"linkpath") or _until_nul(header[157:257]),
            (_number(header[329:337]), _number(header[337:345])) if kind in {CHARACTER, BLOCK_DEVICE} else (0, 0),
            {key[len(_XATTR_PREFIX) :]: value for key, value in extended.items() if key.startswith(_XATTR_PREFIX)},
            pieces,
        )

    def _sparse(
        self, kind: bytes, header: bytes, extended: dict[bytes, bytes], holes: Pieces, stored: int
    ) -> tuple[int, Pieces | None]:
        """Return the real size and the pieces of a file; None for one without holes (GNU tar manual, "Sparse Formats")."""
        if kind == _GNU_SPARSE:
            pieces, size = self._old_gnu_pieces(header), _number(header[483:495])
        elif extended.get(b"GNU.sparse.major") == b"1":
            pieces, size = self._pieces_in_content(), _decimal(extended, b"GNU.sparse.realsize", lambda: 0)
        elif b"GNU.sparse.map" in extended:
            numbers = [_integer(number) for number in extended[b"GNU.sparse.map"].split(b",") if number]
            pieces = list(zip(numbers[::2], numbers[1::2], strict=True)) if len(numbers) % 2 == 0 else [(-1, 0)]
            size = _decimal(extended, b"GNU.sparse.size", lambda: 0)
        elif holes:
            pieces, size = holes, _decimal(extended, b"GNU.sparse.size", lambda: 0)
        else:
            return stored, None
        end = 0
        for offset, length in pieces:
            if offset < end or length < 0 or offset + length > size:
                raise CorruptImage("the layer's tar has a sparse file with an impossible map")
            end = offset + length
        if sum(length for _, length in pieces) != self._unread:
            raise CorruptImage("the layer's tar has a sparse file whose map does not match its data")
        return size, pieces

    def _old_gnu_pieces(self, header: bytes) -> Pieces:
        pieces = _gnu_entries(header[386:482])
        more = header[482:483]
        while more not in {b"\0", b"0", b""}:
            extension = self._exactly(BLOCK)
            pieces += _gnu_entries(extension[:504])
            more = extension[504:505]
            if len(pieces) > _MAX_SPARSE_PIECES:
                raise CorruptImage("the layer's tar has a sparse file with too many pieces")
        return pieces

    def _pieces_in_content(self) -> Pieces:
        """PAX 1.0: the map is decimal lines at the beginning of the content, padded to a block."""
        text = b""

        def line() -> int:
            nonlocal text
            while b"\n" not in text:
                if self._unread < BLOCK or len(text) > BLOCK:
                    raise CorruptImage("the layer's tar has a sparse file without a map")
                self._unread -= BLOCK
                text += self._exactly(BLOCK)
            number, _, text = text.partition(b"\n")
            return _integer(number)

        count = line()
        if count > _MAX_SPARSE_PIECES:
            raise CorruptImage("the layer's tar has a sparse file with too many pieces")
        return [(line(), line()) for _ in range(count)]

    def _header(self) -> bytes | None:
        """Return the next header, or None at the end of the archive (a block of zeros, or of the data)."""
        header = self._up_to(BLOCK)
        if not header or header == _ZEROS:
            return None
        if len(header) < BLOCK:
            raise CorruptImage("the layer's tar ends in the middle of a header", PULL_AGAIN)
        _check(header)
        return header

    def _skip_content(self) -> None:
        for _ in self.content():
            pass
        self._exactly(self._padding)
        self._padding = 0

    def _exactly(self, size: int) -> bytes:
        data = self._up_to(size)
        if len(data) < size:
            raise CorruptImage("the layer's tar ends in the middle of a member", PULL_AGAIN)
        return data

    def _up_to(self, size: int) -> bytes:
        position = self._position
        if len(self._block) - position >= size:  # nearly always
            self._position = position + size
            return self._block[position : position + size].tobytes()
        parts: list[bytes] = []
        while size and self._fill():
            part = self._block[self._position : self._position + size]
            self._position += len(part)
            size -= len(part)
            parts.append(part.tobytes())
        return b"".join(parts)

    def _some(self, limit: int) -> memoryview:
        if not self._fill():
            raise CorruptImage("the layer's tar ends in the middle of a file", PULL_AGAIN)
        part = self._block[self._position : self._position + limit]
        self._position += len(part)
        return part

    def _fill(self) -> bool:
        while self._position >= len(self._block):
            block = next(self._blocks, None)
            if block is None:
                return False
            self._block, self._position = memoryview(block), 0
        return True


def parse_pax(data: bytes, holes: Pieces) -> dict[bytes, bytes]:
    """Read the records `LENGTH KEY=VALUE` of a PAX header; pairs GNU.sparse.offset, numbytes (format 0.0) go into `holes`."""
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 8)
        length = _integer(data[position:space]) if space > 0 else 0
        record = data[space + 1 : position + length]
        key, equals, value = record.partition(b"=")
        if not equals or b"\0" in key or not value.endswith(b"\n") or position + length > len(data):
            raise CorruptImage("the layer's tar has a malformed PAX header")
        position += length
        value = value[:-1]
        if key == b"GNU.sparse.offset":
            holes.append((_integer(value), -1))
        elif key == b"GNU.sparse.numbytes" and holes:
            holes[-1] = (holes[-1][0], _integer(value))
        else:
            records[key] = value
    return records


def _check(header: bytes) -> None:
    """Check the header's checksum: the sum of its bytes with the checksum field as spaces; some tars sum signed bytes."""
    field = header[148:156].split(b"\0", 1)[0].strip()
    expected = int(field, 8) if field and not field.strip(b"01234567") else -1
    total = sum(header) - sum(header[148:156]) + 8 * 32
    if expected != total:
        high = sum(1 for position, byte in enumerate(header) if byte >= 128 and not 148 <= position < 156)
        if expected != total - 256 * high:
            raise CorruptImage("the layer is not a tar, or is damaged: a header's checksum is wrong", PULL_AGAIN)


def _number(field: bytes) -> int:
    """Return a number in octal, or in base 256 where the first bit is set (GNU; star)."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False) & ((1 << (8 * len(field) - 1)) - 1)
        return value - (1 << (8 * len(field) - 1)) if field[0] & 0x40 else value
    text = field.split(b"\0", 1)[0].strip()
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise CorruptImage(f"the layer's tar has a malformed number: {field!r}") from None


def _integer(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise CorruptImage(f"the layer's tar has a malformed number: {text[:40]!r}")
    return int(text)


def _decimal(extended: dict[bytes, bytes], key: bytes, otherwise: Callable[[], int], maximum: int = _MAX_OFFSET) -> int:
    text = extended.get(key)
    value = _integer(text) if text else otherwise()
    if not 0 <= value <= maximum:
        raise CorruptImage(f"the layer's tar has a {key.decode()} out of range: {value}")
    return value


def _time(text: bytes | None, header: bytes) -> int:
    """Return the modification time in ns, cut to what the kernel takes; PAX has a decimal with a fraction, perhaps negative."""
    if not text:
        return max(-_MAX_TIME, min(_MAX_TIME, _number(header[136:148]) * 1_000_000_000))
    whole, _, fraction = text.removeprefix(b"-").partition(b".")
    nanoseconds = _integer(whole or b"0") * 1_000_000_000 + (_integer(fraction[:9].ljust(9, b"0")) if fraction else 0)
    nanoseconds = min(nanoseconds, _MAX_TIME)
    return -nanoseconds if text.startswith(b"-") else nanoseconds


def _ustar_name(header: bytes) -> bytes:
    name = _until_nul(header[:100])
    # GNU's magic is "ustar  "; it has other fields where ustar has the prefix.
    prefix = _until_nul(header[345:500]) if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _gnu_entries(area: bytes) -> Pieces:
    entries = (area[position : position + 24] for position in range(0, len(area), 24))
    return [(_number(entry[:12]), _number(entry[12:])) for entry in entries if entry[:1] != b"\0" and len(entry) == 24]


def _until_nul(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _text(name: bytes) -> str:
    return _until_nul(name).decode(errors="replace")
