"""A container's log in a file, in Docker's json-file or Kubernetes' CRI format, rotated by size.

json-file: one object a line, {"log": text, "stream": name, "attrs": {…}, "time": RFC 3339}. Bytes that are not UTF-8 are written as
the lone surrogates that Python reads back to them (PEP 383), and others as characters that mean nothing.
CRI (k8s-file): `TIME STREAM F content`, or P for a piece of a line that goes on.

Output is encoded by the block, not by the line: all lines of a block have the same time and stream, so what stands between two of
them is the same, too, and one replacement of the line feeds makes all entries.

Rotation goes between two entries: `log` gets the other name `log.1` (and that log.2 …), then a new file takes its name. There is
always a file of that name, and nobody writes to one that has lost it, so who follows reads that to its end, and goes on with the
next. Compressed files keep the time of the last change, by which a follower knows them.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import Final, NamedTuple

from rootless.containers import clock
from rootless.containers.log_lines import Lines

Encoder = Callable[[str, str, bytes], bytes]
"""Returns the entries for time, stream and lines, of which the last may be without its line feed. Each is one line, whose end is
the only line feed in it."""

_ESCAPES: Final = [
    *((b'"', b'\\"'), (b"\r", b"\\r"), (b"\t", b"\\t")),
    *((bytes([code]), b"\\u%04x" % code) for code in range(0x20) if code not in b"\t\n\r"),
]


class Rotation(NamedTuple):
    """How large a file gets (0: without bound), how many there are with the current one, and whether others are compressed."""

    max_bytes: int = 0
    max_files: int = 1
    compress: bool = False


def json_encoder(attributes: Mapping[str, str]) -> Encoder:
    """Return what writes entries of json-file; `attributes` go into each of them."""
    pairs = ",".join(f"{encode_basestring_ascii(name)}:{encode_basestring_ascii(value)}" for name, value in attributes.items())
    middle = f'"attrs":{{{pairs}}},' if pairs else ""
    head = b'{"log":"'

    def encode(time: str, stream: str, lines: bytes) -> bytes:
        tail = f'","stream":"{stream}",{middle}"time":"{time}"}}\n'.encode()
        escaped = _escaped(lines)
        if escaped.endswith(b"\n"):
            return head + escaped[:-1].replace(b"\n", b"\\n" + tail + head) + b"\\n" + tail
        return head + escaped.replace(b"\n", b"\\n" + tail + head) + tail

    return encode


def _escaped(content: bytes) -> bytes:
    """Return what stands for bytes in a JSON string, line feeds as they are: 33 searches by the C library beat one by character."""
    try:
        if not content.isascii():
            content.decode()
    except UnicodeDecodeError:
        # Replacing goes from the left, so that no backslash is met that is the second character of an escape.
        text = encode_basestring_ascii(content.decode("utf-8", "surrogateescape"))[1:-1]
        return text.replace("\\\\", "\\u005c").replace("\\n", "\n").encode()
    if b"\\" in content:  # first of all: the other escapes begin with one
        content = content.replace(b"\\", b"\\\\")
    for character, escape in _ESCAPES:
        if character in content:
            content = content.replace(character, escape)
    return content


def encode_cri(time: str, stream: str, lines: bytes) -> bytes:
    """Return entries of k8s-file."""
    head, end = f"{time} {stream} ".encode(), lines.rfind(b"\n") + 1
    whole = head + b"F " + lines[: end - 1].replace(b"\n", b"\n" + head + b"F ") + b"\n" if end else b""
    return whole + head + b"P " + lines[end:] + b"\n" if end < len(lines) else whole


class LogFile:
    """Appends entries."""

    def __init__(self, path: str, encode: Encoder | None = None, rotation: Rotation = Rotation()) -> None:  # noqa: B008 - immutable
        self._path = path
        self._encode = encode or json_encoder({})
        self._rotation = rotation
        self._descriptor = self._open(path)
        self._size = os.fstat(self._descriptor).st_size
        self._lines = Lines()
        self._lost = ""
        self._compressing = 0

    def write(self, stream: str, content: bytes) -> None:
        """Log what a stream wrote; an unfinished line is kept for later."""
        self._append(stream, self._lines.take(stream, content))

    def flush(self) -> None:
        """Log the unfinished lines as they are."""
        for stream, line in self._lines.take_rest():
            self._append(stream, line)

    def _open(self, path: str) -> int:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _append(self, stream: str, lines: bytes) -> None:
        if not lines:
            return
        entries = self._encode(clock.now(), stream, lines)
        if self._rotation.max_bytes == 0:
            self._write_all(entries)
            return
        position, is_empty, room = 0, self._size == 0, self._rotation.max_bytes - self._size
        while position < len(entries):
            end = len(entries) if len(entries) - position <= room else entries.rfind(b"\n", position, position + max(room, 0)) + 1
            if not end and is_empty:  # an entry that is larger than a file gets one of its own
                end = entries.index(b"\n", position) + 1
            if end:
                self._write_all(entries[position:end])
                position = end
            if position < len(entries):
                self._rotate()
                is_empty, room = True, self._rotation.max_bytes

    def _write_all(self, content: bytes) -> None:
        """Write, or lose what cannot be written (a full disk, a quota, a limit, a server that is gone).

        A container goes on without its log, which says so when it can be written again.
        """
        view = memoryview(content)
        if self._lost:
            view = memoryview(self._encode(clock.now(), "stderr", f"[log lost: {self._lost}]\n".encode()) + content)
        try:
            while view:
                written = os.write(self._descriptor, view)
                self._size += written
                view = view[written:]
            self._lost = ""
        except OSError as error:
            self._lost = os.strerror(error.errno or 0)

    def _rotate(self) -> None:
        """Begin a new file; where that cannot be, the old one goes on."""
        path, new = self._path, f"{self._path}.new"
        try:
            if self._rotation.max_files > 1:
                self._shift()
            descriptor = self._open(new)
            os.rename(new, path)
        except OSError as error:
            self._lost = f"it cannot be rotated: {os.strerror(error.errno or 0)}"
            return
        os.close(self._descriptor)
        self._descriptor, self._size = descriptor, 0
        if self._rotation.compress:
            self._compress(f"{path}.1")

    def _shift(self) -> None:
        """Give each file the name of the next older one; the oldest goes."""
        path = self._path
        if self._compressing:
            with contextlib.suppress(ChildProcessError):  # reaped with other orphans
                os.waitpid(self._compressing, 0)
            self._compressing = 0
        for number in range(self._rotation.max_files - 1, 1, -1):
            for ending in ("", ".gz"):
                if os.path.exists(f"{path}.{number - 1}{ending}"):
                    os.rename(f"{path}.{number - 1}{ending}", f"{path}.{number}{ending}")
        for ending in ("", ".gz"):  # with two files, the oldest is the first, too
            if os.path.exists(f"{path}.1{ending}"):
                os.unlink(f"{path}.1{ending}")
        os.link(path, f"{path}.1")

    def _compress(self, path: str) -> None:
        """Compress a file in a process of its own, so that nobody waits; without one it stays as it is."""
        pid = os.fork()
        if pid:
            self._compressing = pid
            return
        try:
            from rootless.linux.own_process import close_all_except, set_command_line, set_name

            close_all_except({0, 1, 2})  # the container's lock above all, which would outlive the monitor
            set_name(b"rl-log-gzip")
            set_command_line(b"rl compress log")
            from rootless.containers.log_compression import compress

            compress(path)
        finally:
            os._exit(0)
