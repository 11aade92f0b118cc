"""Comparing unpacked layers with their records (`rl system check`); runs in the parent namespace, in a process of its own.

The working folder is the layer's tree, so that paths as long as a tar may have them still fit into PATH_MAX.
"""

import os
import stat
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from rootless.errors import CorruptImage, os_error_text
from rootless.images import layers, mtree
from rootless.images.attributes import NATIVE
from rootless.images.mtree import Entry, checksum_of_xattrs, crc32
from rootless.images.tree import WHITEOUT, shown
from rootless.images.unpack_image import checksum_of_file, read_record
from rootless.locations import Locations

_BLOCK: Final = 1 << 20
_TOLD: Final = 5  # differences of one layer that are told one by one
# Some disks keep whole seconds, some end in 2038 or 1901: ext4 with small inodes, XFS without bigtime.
_SECOND: Final = 1_000_000_000
_TIMES: Final = range(-(1 << 31), (1 << 31) - 1)
_KINDS: Final = {
    stat.S_IFREG: mtree.REGULAR,
    stat.S_IFDIR: mtree.FOLDER,
    stat.S_IFLNK: mtree.SYMLINK,
    stat.S_IFIFO: mtree.FIFO,
    stat.S_IFCHR: mtree.WHITEOUT,
}
_WORDS: Final = {
    mtree.REGULAR: "a file",
    mtree.FOLDER: "a folder",
    mtree.SYMLINK: "a symbolic link",
    mtree.FIFO: "a FIFO",
    mtree.WHITEOUT: "a whiteout",
    b"?": "a device or socket",
}


class Checked(NamedTuple):
    """One layer: its folder's name, its key where that can be read, the number of its files, and what is wrong with it."""

    name: str
    key: str | None
    files: int
    problems: list[str]


def check_layers(locations: Locations, names: list[str], quick: bool) -> list[Checked]:
    """Check the layers in the folders `names`; `quick` leaves out contents and xattrs. Changes the working folder."""
    return [_check_layer(locations, name, quick=quick) for name in names]


def _check_layer(locations: Locations, name: str, *, quick: bool) -> Checked:
    folder = f"{locations.layers}/{name}"
    try:
        record = read_record(folder)
        key = str(record["key"])
        entries = _read_entries(folder, record)
        os.chdir(f"{folder}/{layers.TREE}")
    except (CorruptImage, OSError, KeyError) as error:
        return Checked(name, None, 0, [_text(error)])
    problems = differences(entries, native=record.get("form") == NATIVE, quick=quick)
    if layers.folder_of(locations, key) != folder:
        problems.insert(0, f"its record is that of another layer, {key}")
    return Checked(name, key, len(entries), _shortened(problems))


def differences(entries: dict[bytes, Entry], *, native: bool, quick: bool) -> list[str]:
    """Return what differs between a record and the tree in the working folder; owners count in `native` layers."""
    unread = dict(entries)
    found = list(_differences(unread, native=native, quick=quick))
    return found + [f"{_shown(path)} is missing" for path in unread]


def _read_entries(folder: str, record: dict[str, Any]) -> dict[bytes, Entry]:
    for file in (layers.FILES, layers.SIDE_FILE):
        noted = record.get(f"{file}CRC32")
        if checksum_of_file(f"{folder}/{file}") != noted:
            raise CorruptImage(f"{folder}/{file} is damaged")
        if file == layers.FILES and noted is None:
            raise CorruptImage("it was unpacked without a list of its files")
    with open(f"{folder}/{layers.FILES}", "rb") as lines:
        return mtree.read(lines)


def _differences(unread: dict[bytes, Entry], *, native: bool, quick: bool) -> Iterator[str]:
    """Yield what differs below the working folder, and take what is there out of `unread`."""
    pending = [b""]
    while pending:
        path = pending.pop()
        expected = unread.pop(path, None)
        try:
            status = os.lstat(path or b".")
            if expected is None:
                yield f"{_shown(path)} is no part of it"
                continue
            yield from _differing(path, expected, status, native=native, quick=quick)
            if stat.S_ISDIR(status.st_mode):
                with os.scandir(path or b".") as found:
                    pending += [path + b"/" + one.name if path else one.name for one in found]
        except OSError as error:
            yield f"{_shown(path)} cannot be read: {error.strerror}"


def _differing(path: bytes, expected: Entry, status: os.stat_result, *, native: bool, quick: bool) -> Iterator[str]:
    kind = _kind_of(path or b".", status, expected)
    if kind != (mtree.REGULAR if expected.kind == mtree.SPARSE else expected.kind):
        yield f"{_shown(path)} is {_WORDS[kind]}"
        return
    if kind == mtree.WHITEOUT:
        return
    noted = expected.attributes
    if kind != mtree.SYMLINK and stat.S_IMODE(status.st_mode) != noted.mode:
        yield f"{_shown(path)} has the mode {stat.S_IMODE(status.st_mode):04o}, not {noted.mode:04o}"
    if native and (status.st_uid, status.st_gid) != (noted.uid, noted.gid):
        yield f"{_shown(path)} belongs to {status.st_uid}:{status.st_gid}, not {noted.uid}:{noted.gid}"
    if abs(status.st_mtime_ns - noted.mtime) >= _SECOND and noted.mtime // _SECOND in _TIMES:
        yield f"{_shown(path)} was changed"
    if kind == mtree.REGULAR and status.st_size != expected.size:
        yield f"{_shown(path)} has {status.st_size} bytes, not {expected.size}"
    elif not quick and kind in {mtree.REGULAR, mtree.SYMLINK} and _content_of(path, expected) != expected.content:
        yield f"{_shown(path)} has another content"
    if not quick and kind in {mtree.REGULAR, mtree.FOLDER} and checksum_of_xattrs(os.fsdecode(path or b".")) != noted.xattrs:
        yield f"{_shown(path)} has other extended attributes"


def _kind_of(path: bytes, status: os.stat_result, expected: Entry) -> bytes:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), b"?")
    if kind == mtree.WHITEOUT and status.st_rdev != 0:
        return b"?"
    if expected.kind == mtree.WHITEOUT and kind == mtree.REGULAR and WHITEOUT in os.listxattr(path):
        return mtree.WHITEOUT
    return kind


def _content_of(path: bytes, expected: Entry) -> int:
    if expected.kind == mtree.SYMLINK:
        return crc32(os.readlink(path))
    checksum = 0
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        for offset, length in expected.pieces if expected.kind == mtree.SPARSE else [(0, expected.size)]:
            position, end = offset, offset + length
            while position < end and (block := os.pread(descriptor, min(_BLOCK, end - position), position)):
                checksum = crc32(block, checksum)
                position += len(block)
    finally:
        os.close(descriptor)
    return checksum


def _shortened(problems: list[str]) -> list[str]:
    rest = len(problems) - _TOLD
    return problems if rest <= 0 else [*problems[:_TOLD], f"and {rest} more"]


def _shown(path: bytes) -> str:
    return f"/{shown(path)}"


def _text(error: Exception) -> str:
    if isinstance(error, OSError):
        return os_error_text(error)
    return error.message if isinstance(error, CorruptImage) else f"its record lacks {error}"
