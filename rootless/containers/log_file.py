"""A container's log in Docker's json-file format: one object a line, {"log": text, "stream": name, "time": RFC 3339}."""

import os
from json.encoder import encode_basestring_ascii

from rootless.containers import clock

_MAX_PARTIAL = 16 << 10
"""Bytes of a line without end that become an entry of their own, as in Docker."""


class LogFile:
    """Appends entries; lines of a stream are put together from the pieces in which they arrive."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._partial = {"stdout": b"", "stderr": b""}
        self._lost = ""

    def write(self, stream: str, content: bytes) -> None:
        """Log what a stream wrote; an unfinished line is kept for later."""
        lines = _split(self._partial[stream] + content)
        self._partial[stream] = b""
        if lines and not lines[-1].endswith(b"\n") and len(lines[-1]) < _MAX_PARTIAL:
            self._partial[stream] = lines.pop()
        self._append(stream, lines)

    def flush(self) -> None:
        """Log the unfinished lines as they are."""
        for stream, line in self._partial.items():
            if line:
                self._append(stream, [line])
                self._partial[stream] = b""

    def _append(self, stream: str, lines: list[bytes]) -> None:
        end = f',"stream":"{stream}","time":"{clock.now()}"}}\n'
        entries = [f'{{"log":{encode_basestring_ascii(line.decode("utf-8", "replace"))}{end}' for line in lines]
        if entries:
            self._write_all("".join(entries).encode())

    def _write_all(self, content: bytes) -> None:
        """Write, or lose what cannot be written (a full disk, a quota, a limit, a server that is gone).

        A container goes on without its log, which says so when it can be written again.
        """
        view = memoryview(content)
        if self._lost:
            notice = f"[log lost: {self._lost}]\\n"
            view = memoryview(f'{{"log":"{notice}","stream":"stderr","time":"{clock.now()}"}}\n'.encode() + content)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
            self._lost = ""
        except OSError as error:
            self._lost = os.strerror(error.errno or 0)


def _split(content: bytes) -> list[bytes]:
    """Split after each line feed and nowhere else, unlike `splitlines`."""
    lines = content.split(b"\n")
    complete = [line + b"\n" for line in lines[:-1]]
    return [*complete, lines[-1]] if lines[-1] else complete
