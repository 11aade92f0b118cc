"""Writing a tar as it streams out: ustar, with PAX records (POSIX.1-2008) for what does not fit; every reader of layers knows both.

Names stay bytes. A size that does not fit into ustar's 11 octal digits is in base 256, as GNU and Go have it, so that a
header without long names always takes one block, and may be written again when the size has become known.
"""

from collections.abc import Callable, Iterable
from typing import Final

from rootless.errors import InvalidInput
from rootless.images import tar
from rootless.images.tar import BLOCK, Member

_RECORD: Final = 20 * BLOCK  # POSIX pax: archives are written in records of this size
_PAX_NAME: Final = b"./PaxHeaders/0"
_MAX_NAME: Final = 100
_MAX_PREFIX: Final = 155
_MAX_ID: Final = 0o7777777
_MAX_TIME: Final = 0o77777777777
_MAX_SIZE: Final = 0o77777777777


class TarWriter:
    """Writes members one after the other; `write` takes the bytes."""

    def __init__(self, write: Callable[[bytes | memoryview], None]) -> None:
        self._write = write
        self._written = 0

    def add(self, member: Member, content: Iterable[bytes | memoryview] = ()) -> None:
        """Write a member, and of a regular file the content, which must have `member.size` bytes."""
        self._put(header(member))
        if member.kind != tar.REGULAR:
            return
        left = member.size
        for block in content:
            left -= len(block)
            self._put(block)
        if left:
            raise InvalidInput(f"{member.name!r} has {member.size - left} bytes, not {member.size}")
        self._put(bytes(-member.size % BLOCK))

    def finish(self) -> None:
        """Write the end of the archive, filled up to a whole record."""
        self._put(bytes(2 * BLOCK))
        self._put(bytes(-self._written % _RECORD))

    def skipped(self, size: int) -> None:
        """Note bytes that somebody else has written to the same place."""
        self._written += size

    def _put(self, data: bytes | memoryview) -> None:
        if len(data):
            self._write(data)
            self._written += len(data)


def file(name: str, size: int) -> Member:
    """Return a regular file of an archive whose owner and time mean nothing: always the same ones."""
    return Member(name.encode(), tar.REGULAR, 0o644, 0, 0, size, 0, b"", (0, 0), {}, None)


def folder(name: str) -> Member:
    """Return a folder of such an archive."""
    return Member(f"{name}/".encode(), tar.DIRECTORY, 0o755, 0, 0, 0, 0, b"", (0, 0), {}, None)


def symlink(name: str, target: str) -> Member:
    """Return a symbolic link of such an archive."""
    return Member(name.encode(), tar.SYMLINK, 0o777, 0, 0, 0, 0, target.encode(), (0, 0), {}, None)


def header(member: Member) -> bytes:
    """Return the header of a member, after a PAX header where it needs one."""
    records = {b"SCHILY.xattr." + key: value for key, value in sorted(member.xattrs.items())}
    prefix, name = _split(member.name)
    if len(name) > _MAX_NAME:
        records[b"path"] = member.name
    if len(member.link) > _MAX_NAME:
        records[b"linkpath"] = member.link
    for key, number in ((b"uid", member.uid), (b"gid", member.gid)):
        if number > _MAX_ID:
            records[key] = b"%d" % number
    if member.mtime % 1_000_000_000 or not 0 <= member.mtime // 1_000_000_000 <= _MAX_TIME:
        records[b"mtime"] = _decimal_time(member.mtime)
    own = _ustar(member, prefix, name)
    if not records:
        return own
    content = b"".join(_record(key, value) for key, value in records.items())
    extended = Member(_PAX_NAME, b"x", 0o644, 0, 0, len(content), 0, b"", (0, 0), {}, None)
    return _ustar(extended, b"", _PAX_NAME) + content + bytes(-len(content) % BLOCK) + own


def _ustar(member: Member, prefix: bytes, name: bytes) -> bytes:
    seconds = min(max(member.mtime // 1_000_000_000, 0), _MAX_TIME)
    block = bytearray(BLOCK)
    fields = (
        (0, name[:_MAX_NAME]),
        (100, b"%07o\0" % member.mode),
        (108, b"%07o\0" % (member.uid if member.uid <= _MAX_ID else 0)),
        (116, b"%07o\0" % (member.gid if member.gid <= _MAX_ID else 0)),
        (124, _size(member.size)),
        (136, b"%011o\0" % seconds),
        (148, b" " * 8),
        (156, member.kind),
        (157, member.link[:_MAX_NAME]),
        (257, b"ustar\x0000"),
        (329, b"%07o\0%07o\0" % member.device),
        (345, prefix),
    )
    for position, value in fields:
        block[position : position + len(value)] = value
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _size(size: int) -> bytes:
    return b"%011o\0" % size if size <= _MAX_SIZE else b"\x80" + size.to_bytes(11, "big")


def _split(name: bytes) -> tuple[bytes, bytes]:
    """Return ustar's prefix and name, where the name can be split so; else no prefix and the whole name."""
    if len(name) <= _MAX_NAME:
        return b"", name
    slash = name.rfind(b"/", 0, _MAX_PREFIX + 1)
    rest = name[slash + 1 :]
    return (name[:slash], rest) if slash > 0 and 0 < len(rest) <= _MAX_NAME else (b"", name)


def _decimal_time(nanoseconds: int) -> bytes:
    sign, absolute = (b"-", -nanoseconds) if nanoseconds < 0 else (b"", nanoseconds)
    whole, fraction = divmod(absolute, 1_000_000_000)
    return sign + (b"%d.%09d" % (whole, fraction)).rstrip(b"0").rstrip(b".") if fraction else sign + b"%d" % whole


def _record(key: bytes, value: bytes) -> bytes:
    """Return `LENGTH KEY=VALUE`, whose length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    if len(str(length)) > len(str(rest)):
        length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)
