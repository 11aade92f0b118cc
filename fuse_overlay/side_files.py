"""Notes on files that carry no user xattrs (symbolic links, FIFOs, sockets; on NFS all of them), in a file beside their tree.

    LAYER/override_stat.json    of a flat layer, written once, when it is unpacked: [[path, UID, GID, MODE], …]
    CONTAINER/override_stat     of a flat upper, a log: a line `INODE UID:GID:MODE:TYPE` a change; the last one of an inode counts,
                                and `INODE` alone takes it back

The log's first line is `upper INODE`, the inode of the upper's own root: inode numbers mean nothing in a copy of it, where the log
is begun anew. Files whose owner is 0:0 and whose mode is the disk's have no line. A line that a crash has torn is not counted. What
is written is as durable as the container's own writes: it is synced when the container syncs a file.
"""

import contextlib
import errno
import json
import os
from typing import Final

from fuse_overlay.noted import Noted, parse

_OF_LAYER: Final = b"../override_stat.json"
_OF_UPPER: Final = b"../override_stat"
_NEW: Final = b"../.override_stat.new"
_LOG: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
_SUPERSEDED: Final = 256  # lines that are kept before the log is written anew


def read_of_layer(tree: int) -> dict[bytes, Noted]:
    """Return what is noted beside a layer whose tree is open, by path; nothing where there is no such file."""
    try:
        with open(os.open(_OF_LAYER, os.O_RDONLY | os.O_CLOEXEC, dir_fd=tree), "rb") as file:
            lines = json.load(file)
    except FileNotFoundError:
        return {}
    return {path.encode(errors="surrogateescape"): Noted(user, group, mode) for path, user, group, mode in lines}


class UpperNotes:
    """The notes beside an upper whose root is open, by inode number."""

    def __init__(self, upper: int) -> None:
        self._upper = upper
        self._head = b"upper %d\n" % os.fstat(upper).st_ino
        self._log = os.open(_OF_UPPER, _LOG, 0o600, dir_fd=upper)
        self._texts: dict[int, bytes] = {}
        self._dirty = False
        content = self._read()
        lines = content[: content.rfind(b"\n") + 1].split(b"\n")[:-1]
        if not lines or lines[0] + b"\n" != self._head:
            lines = []
        for line in lines[1:]:
            number, _, text = line.partition(b" ")
            with contextlib.suppress(ValueError):  # somebody has edited it
                self._apply(int(number), text)
        # Torn, begun anew, or grown by what has been superseded.
        if not lines or not content.endswith(b"\n") or len(lines) > 2 * len(self._texts) + _SUPERSEDED:
            self._write_anew()

    def get(self, number: int) -> Noted | None:
        """Return what is noted of an inode."""
        text = self._texts.get(number)
        return None if text is None else parse(text)

    def put(self, number: int, noted: Noted) -> None:
        """Note that of an inode; raises `OSError` where the disk is full."""
        self._write(number, noted.text())

    def drop(self, number: int) -> None:
        """Take back what is noted of an inode, if there is anything."""
        if number in self._texts:
            self._write(number, b"")

    def sync(self) -> None:
        """Have what was noted on disk."""
        if self._dirty:
            os.fdatasync(self._log)
            self._dirty = False

    def _write(self, number: int, text: bytes) -> None:
        line = b"%d %b\n" % (number, text) if text else b"%d\n" % number
        size = os.fstat(self._log).st_size
        if os.write(self._log, line) != len(line):  # a full disk: half a line must not become part of the next one
            os.ftruncate(self._log, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._dirty = True
        self._apply(number, text)

    def _apply(self, number: int, text: bytes) -> None:
        if text:
            self._texts[number] = text
        else:
            self._texts.pop(number, None)

    def _read(self) -> bytes:
        with open(os.dup(self._log), "rb") as file:
            file.seek(0)
            return file.read()

    def _write_anew(self) -> None:
        """Replace the log by one that has what counts only."""
        descriptor = os.open(_NEW, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600, dir_fd=self._upper)
        with open(os.dup(descriptor), "wb") as file:
            file.write(self._head)
            file.writelines(b"%d %b\n" % entry for entry in self._texts.items())
        os.rename(_NEW, _OF_UPPER, src_dir_fd=self._upper, dst_dir_fd=self._upper)
        os.close(self._log)
        self._log = descriptor
