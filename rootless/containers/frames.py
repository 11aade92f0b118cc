"""The frames on a container's socket, between its monitor and the clients (attach, wait).

Theory of operation. A stream socket carries frames both ways: one byte of kind, four bytes of payload length (big endian), payload.
The client speaks first, one REQUEST:

    {"op": "attach", "stdin": bool, "output": bool}   the monitor answers REPLY, then STDOUT and STDERR frames as the container
                                                      writes, until EXIT; the client may send STDIN, STDIN_END, RESIZE at any time
    {"op": "start"}                                   only from the command that started the monitor: REPLY when the container runs
    {"op": "wait"}                                    the monitor answers REPLY, then EXIT when the container has ended
    {"op": "resize", "rows": n, "columns": n}         REPLY

REPLY is {}, or {"error": text, "kind": class in rootless.errors, "hint": text or null}. EXIT is {"status": n, "error": text}; after
it the monitor closes.
With a terminal all output is STDOUT. How the bytes of a stream are cut into frames means nothing: a receiver takes what has come of
one, and does not wait for the rest. A client that breaks these rules is dropped; the container does not notice.
"""

import contextlib
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from rootless.linux.sockets import SO_SNDBUF, SOL_SOCKET

if TYPE_CHECKING:
    from rootless.linux.sockets import socket

REQUEST: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
REPLY: Final = 3
EXIT: Final = 4
STDIN: Final = 5
STDIN_END: Final = 6
RESIZE: Final = 7

MAX_PAYLOAD: Final = 1 << 20
_STREAMS: Final = (STDOUT, STDERR, STDIN)
_SEND_BUFFER: Final = 1 << 18
"""Bytes, of which the kernel makes twice as much where net.core.wmem_max allows: its default holds less than one read brings."""
_HEADER = struct.Struct(">BI")


class FrameError(Exception):
    """The other side sent something that is not a frame."""


def encode(kind: int, payload: bytes = b"") -> bytes:
    """Return one frame; `payload` has at most `MAX_PAYLOAD` bytes."""
    return _HEADER.pack(kind, len(payload)) + payload


class Sender:
    """Sends frames through a non-blocking socket, without a copy; what that does not take is kept for `flush`."""

    def __init__(self, sock: "socket") -> None:
        sock.setblocking(False)
        sock.setsockopt(SOL_SOCKET, SO_SNDBUF, _SEND_BUFFER)
        self._sock = sock
        self.pending = bytearray()

    def send(self, kind: int, payload: bytes = b"") -> None:
        """Send a frame after what is pending. Raises `BrokenPipeError`, `ConnectionResetError`."""
        header, sent = _HEADER.pack(kind, len(payload)), 0
        if not self.pending:
            with contextlib.suppress(BlockingIOError):  # all of it is kept
                sent = self._sock.sendmsg((header, payload))
        if sent < len(header) + len(payload):
            self.pending += header[sent:]
            self.pending += memoryview(payload)[max(sent - len(header), 0) :]

    def flush(self) -> None:
        """Send more of what is pending: the socket is writable. Raises as `send`."""
        with contextlib.suppress(BlockingIOError):  # the rest goes when it is writable again
            while self.pending:
                del self.pending[: self._sock.send(self.pending)]


class Decoder:
    """Turns received bytes, however split, into frames. Those of streams come in pieces, as they are received."""

    def __init__(self) -> None:
        self._rest = b""  # of a frame that is not whole
        self._kind = 0
        self._left = 0  # of a stream's frame, to be passed on as it comes

    @property
    def missing(self) -> int:
        """How many more bytes are needed to know, or to complete, the next frame."""
        if self._left:
            return self._left
        if len(self._rest) < _HEADER.size:
            return _HEADER.size - len(self._rest)
        return int(_HEADER.unpack_from(self._rest)[1]) + _HEADER.size - len(self._rest)

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (kind, payload) of each frame that `data` completes, or of a stream begins or goes on with.

        Raises `FrameError` for an oversized one.
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        position, size = 0, len(data)
        while True:
            if self._left:
                piece = data[position : position + self._left]
                if not piece:
                    return
                self._left -= len(piece)
                position += len(piece)
                yield self._kind, piece
                continue
            start = position + _HEADER.size
            if size < start:
                break
            kind, length = _HEADER.unpack_from(data, position)
            if kind > RESIZE or length > MAX_PAYLOAD:
                raise FrameError(f"frame of kind {kind} with {length} bytes")
            if kind in _STREAMS:
                self._kind, self._left, position = kind, length, start
                continue
            if size < start + length:
                break
            position = start + length
            yield kind, data[start:position]
        self._rest = data[position:]
