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
With a terminal all output is STDOUT. A client that breaks these rules is dropped; the container does not notice.
"""

import struct
from collections.abc import Iterator
from typing import Final

REQUEST: Final = 0
STDOUT: Final = 1
STDERR: Final = 2
REPLY: Final = 3
EXIT: Final = 4
STDIN: Final = 5
STDIN_END: Final = 6
RESIZE: Final = 7

MAX_PAYLOAD: Final = 1 << 20
_HEADER = struct.Struct(">BI")


class FrameError(Exception):
    """The other side sent something that is not a frame."""


def encode(kind: int, payload: bytes = b"") -> bytes:
    """Return one frame; `payload` has at most `MAX_PAYLOAD` bytes."""
    return _HEADER.pack(kind, len(payload)) + payload


class Decoder:
    """Turns received bytes, however split, into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    @property
    def missing(self) -> int:
        """How many more bytes are needed to know, or to complete, the next frame."""
        if len(self._buffer) < _HEADER.size:
            return _HEADER.size - len(self._buffer)
        return int(_HEADER.unpack_from(self._buffer)[1]) + _HEADER.size - len(self._buffer)

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (kind, payload) of each frame that `data` completes. Raises `FrameError` for an oversized one."""
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            kind, length = _HEADER.unpack_from(self._buffer)
            if kind > RESIZE or length > MAX_PAYLOAD:
                raise FrameError(f"frame of kind {kind} with {length} bytes")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield kind, payload
