"""What is noted of a file whose owner, group, mode and type the disk does not have: the flat form of layers and uppers.

The text is that of containers/storage and fuse-overlayfs (`user.containers.override_stat`): UID:GID:MODE[:TYPE], where MODE is
octal and TYPE one of file, dir, symlink, pipe, socket, block-MAJOR-MINOR, char-MAJOR-MINOR. A file of another type than that on
disk is a regular, empty one there: a marker.
"""

import os
import stat
from typing import Any, Final, NamedTuple

ATTRIBUTE: Final = b"user.containers.override_stat"
ATTRIBUTE_PREFIX: Final = b"user.containers.override_"
"""What the names of such attributes begin with; of a container's own ones in the flat form, twice (as fuse-overlayfs has it)."""

MARKED: Final = frozenset({stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFBLK, stat.S_IFCHR})
"""The types that a marker may stand for."""

_WORDS: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFBLK: "block",
    stat.S_IFCHR: "char",
}
_TYPES: Final = {word.encode(): kind for kind, word in _WORDS.items()}
_NO_OWNER: Final = 0xFFFFFFFF  # chown(2): "leave it"
_MAX_PARSED: Final = 4096
_parsed: Final[dict[bytes, "Noted | None"]] = {}  # most files of an image share a few texts


class Noted(NamedTuple):
    """`kind` is of stat.S_IFMT, 0 where the text does not say it; `device` is of a device only."""

    user: int
    group: int
    mode: int  # the lower 12 bits
    kind: int = 0
    device: int = 0

    def text(self) -> bytes:
        """Return the attribute's value."""
        word = _WORDS.get(self.kind, "file")
        if self.kind in (stat.S_IFBLK, stat.S_IFCHR):
            word += f"-{os.major(self.device)}-{os.minor(self.device)}"
        return f"{self.user}:{self.group}:{self.mode:04o}:{word}".encode()


def of_status(status: os.stat_result) -> Noted:
    """Return what is to be noted of a file that shall have this status."""
    mode = status.st_mode
    return Noted(status.st_uid, status.st_gid, stat.S_IMODE(mode), stat.S_IFMT(mode), status.st_rdev)


def parse(text: bytes) -> Noted | None:
    """Return what a text says, or None where it says nothing: somebody has edited it."""
    if text not in _parsed:
        if len(_parsed) >= _MAX_PARSED:
            _parsed.clear()
        try:
            _parsed[text] = _read(text)
        except ValueError:
            _parsed[text] = None
    return _parsed[text]


def _read(text: bytes) -> Noted:
    user, group, mode, *rest = text.split(b":")
    owners = int(user), int(group)
    if not all(0 <= owner < _NO_OWNER for owner in owners):
        raise ValueError(text)
    kind, device = _read_type(rest[0]) if rest else (0, 0)
    return Noted(*owners, stat.S_IMODE(int(mode, 8)), kind, device)


def _read_type(text: bytes) -> tuple[int, int]:
    word, *numbers = text.split(b"-")
    kind = _TYPES.get(word, 0)
    if kind not in (stat.S_IFBLK, stat.S_IFCHR):
        return kind, 0
    major, minor = map(int, numbers[:2])
    return kind, os.makedev(major, minor)


def shown(status: os.stat_result, noted: Noted) -> os.stat_result:
    """Return the status of a file with what is noted of it in place of what the disk has."""
    reduced: Any = status.__reduce__()
    constructor, (visible, hidden) = reduced  # the fields by position, and the others by name
    kind, size = stat.S_IFMT(status.st_mode), status.st_size
    device = status.st_rdev
    if kind == stat.S_IFREG and noted.kind in MARKED:
        kind, size, device = noted.kind, 0, noted.device
    fields = (kind | noted.mode, *visible[1:4], noted.user, noted.group, size, *visible[7:])
    result: os.stat_result = constructor(fields, {**hidden, "st_rdev": device})
    return result
