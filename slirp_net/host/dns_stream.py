"""Queries by TCP (RFC 7766): the container's connections to the name server end here.

Theory of operation. Such a connection is a flow like any other, but its socket is one end of a pair, and the other end is read
here: two bytes of length, then a message, as often as the container likes, and without waiting for the answers, which go back in
the order in which they come. Who says nothing for a while, has too many questions open, does not read the answers, or
sends something else, is hung up on.
"""

from __future__ import annotations

from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, socketpair
from select import EPOLLHUP

from slirp_net.loop import NEVER, READABLE, WRITABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Final

    from slirp_net.host.dns import Forwarder

_IDLE: Final = 20.0  # seconds
_MOST_OPEN: Final = 64  # questions
_MOST_CONNECTIONS: Final = 64
_MOST_UNREAD: Final = 1 << 18  # bytes of answers
_LARGEST: Final = 65535 + 2


class StreamService:
    """Makes connections to the forwarder (`tcp.Service`)."""

    def __init__(self, forwarder: Forwarder) -> None:
        self.forwarder = forwarder
        self.connections: dict[_Connection, None] = {}  # oldest first

    def connect(self) -> socket:
        """Return the near end of a new connection. Raises `OSError`."""
        if len(self.connections) >= _MOST_CONNECTIONS:
            next(iter(self.connections)).close()
        near, far = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)
        self.connections[_Connection(self, far)] = None
        return near


class _Connection:
    """The far end of a connection."""

    def __init__(self, service: StreamService, far: socket) -> None:
        self.alarm = NEVER
        self.deadline = NEVER
        self._service = service
        self._socket: socket | None = far
        self._in = bytearray()
        self._out = bytearray()
        self._open = 0  # questions without an answer yet
        self._ended = False  # the container asks no more
        self._loop = service.forwarder.loop
        self._loop.watch(far.fileno(), READABLE, self._on_events)
        self._stay()

    def on_timer(self) -> None:
        """Hang up: nothing was said for a while."""
        self.close()

    def close(self) -> None:
        """Hang up; answers that come later go nowhere."""
        if self._socket is None:
            return
        self.deadline = NEVER
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        self._socket = None
        del self._service.connections[self]

    def _stay(self) -> None:
        self.deadline = self._loop.now + _IDLE
        self._loop.schedule(self)

    def _on_events(self, events: int) -> None:
        assert self._socket is not None
        try:
            if self._ended and events & EPOLLHUP:
                self.close()  # there is nobody any more who could read an answer
            elif events & WRITABLE:
                self._write()
            else:
                self._read()
        except BlockingIOError:
            return
        except OSError:  # the container has reset the connection
            self.close()

    def _read(self) -> None:
        assert self._socket is not None
        part = self._socket.recv(_LARGEST)
        if not part:
            self._ended = True
            self._loop.change(self._socket.fileno(), 0)
            self._close_if_done()
            return
        self._in += part
        self._stay()
        while self._socket is not None and len(self._in) >= 2:
            end = 2 + int.from_bytes(self._in[:2], "big")
            if len(self._in) < end:
                return
            message = bytes(self._in[2:end])
            del self._in[:end]
            self._ask(message)

    def _ask(self, message: bytes) -> None:
        self._open += 1
        if self._open > _MOST_OPEN or not self._service.forwarder.on_query(message, self, self._answer, by_stream=True):
            self.close()

    def _answer(self, message: bytes) -> None:
        self._open -= 1
        if self._socket is None:
            return
        self._out += len(message).to_bytes(2, "big") + message
        if len(self._out) > _MOST_UNREAD:
            self.close()
            return
        try:
            self._write()
        except BlockingIOError:
            self._loop.change(self._socket.fileno(), WRITABLE)
        except OSError:  # as above
            self.close()

    def _write(self) -> None:
        assert self._socket is not None
        while self._out:
            del self._out[: self._socket.send(self._out)]
        self._loop.change(self._socket.fileno(), 0 if self._ended else READABLE)
        self._stay()
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._ended and not self._open and not self._out:
            self.close()
