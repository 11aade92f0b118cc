"""One question under way to the host's name servers.

Theory of operation. The servers are asked one after the other, each for PATIENCE seconds, then all once more, and what was asked
may still answer until LIFETIME is over; then the answer is SERVFAIL. A server that refuses, or says that it has failed, is followed
by the next at once, and its answer is only given when no other has a better one.

    question (UDP)  ->  server            a socket of its own for each server: a random port (RFC 5452, 9.2) and identifier,
                    <-  answer            connected, so that nobody else can answer; the question must be the same
                    <-  truncated         is handed on to who asked by UDP; for who asked by TCP, the server is asked again by TCP
    question (TCP)  ->  same server       two bytes of length before each message (RFC 1035, 4.2.2)
                    <-  answer
"""

from __future__ import annotations

import os
from _socket import SO_ERROR, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET

from slirp_net.host.outside import open_socket
from slirp_net.loop import NEVER, READABLE, WRITABLE
from slirp_net.wire import dns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from collections.abc import Callable
    from typing import Final, Protocol

    from slirp_net.loop import Loop

    class Owner(Protocol):
        """Who is told how an exchange went."""

        loop: Loop

        def on_answer(self, exchange: Exchange, message: bytes) -> None:
            """Take the answer; the exchange has ended."""

        def on_silence(self, server: str) -> None:
            """Take note that a server did not answer in time, or could not be reached."""


PORT: Final = 53
PATIENCE: Final = 2.0  # seconds
LIFETIME: Final = 9.0  # seconds; resolv.conf(5) has the container's resolver ask twice in ten
_ROUNDS: Final = 2
_LARGEST: Final = 65535  # bytes
_FAILURES: Final = frozenset({dns.SERVER_FAILURE, dns.NOT_IMPLEMENTED, dns.REFUSED})  # of a server, not of the name


class Exchange:
    """The question of `message` to `servers`; `by_stream` tells that it was asked by TCP."""

    __slots__ = (
        "_asked", "_at", "_ends", "_failure", "_owner", "_servers", "_sockets", "_stream", "alarm", "by_stream", "deadline",
        "question",
    )  # fmt: skip

    def __init__(
        self, owner: Owner, message: bytes | memoryview, question: dns.Question, servers: tuple[str, ...], *, by_stream: bool
    ) -> None:
        self.alarm = NEVER
        self.deadline = NEVER
        self.question = question
        self.by_stream = by_stream
        self._owner = owner
        self._asked = dns.relayed(message, question, int.from_bytes(os.urandom(2), "big"))
        self._servers = list(servers) * _ROUNDS  # those to be asked
        self._at = ""  # the one that was asked last
        self._sockets: dict[str, socket] = {}
        self._stream: _Stream | None = None
        self._failure: bytes | None = None
        self._ends = owner.loop.now + LIFETIME

    @property
    def key(self) -> tuple[bytes, bool]:
        """What is asked, and how; not who asks."""
        return self._asked[2:], self.by_stream

    def ask_next(self) -> None:
        """Ask the next server that takes the question; after the last one, wait for a late answer of those that were asked."""
        now = self._owner.loop.now
        while self._servers and now < self._ends:
            self._at = self._servers.pop(0)
            if self._send(self._at):
                self._wait(min(now + PATIENCE, self._ends))
                return
            self._owner.on_silence(self._at)
        if now < self._ends and (self._sockets or self._stream):
            self._at = ""
            self._wait(self._ends)
            return
        failure = self._failure or dns.answer(self._asked, self.question, [], dns.SERVER_FAILURE)
        self._finish(failure)

    def on_timer(self) -> None:
        """Go on to the next server: this one did not answer."""
        if self._at:
            self._owner.on_silence(self._at)
        self._end_stream()
        self.ask_next()

    def close(self) -> None:
        """End the exchange without an answer."""
        self.deadline = NEVER
        self._end_stream()
        for server in list(self._sockets):
            self._drop(server)

    def _wait(self, until: float) -> None:
        self.deadline = until
        self._owner.loop.schedule(self)

    def _finish(self, message: bytes) -> None:
        self.close()
        self._owner.on_answer(self, message)

    def _send(self, server: str) -> bool:
        """Send the question to `server` and tell whether that worked."""
        outside = self._sockets.get(server)
        try:
            if outside is None:
                outside = open_socket(server, SOCK_DGRAM)
                self._sockets[server] = outside
                self._owner.loop.watch(outside.fileno(), READABLE, lambda _events: self._on_datagrams(server))
                outside.connect((server, PORT))
            outside.send(self._asked)
        except OSError:  # no descriptors, no IPv6, no route, refused: as if the server were not there
            self._drop(server)
            return False
        return True

    def _drop(self, server: str) -> None:
        outside = self._sockets.pop(server, None)
        if outside is not None:
            self._owner.loop.forget(outside.fileno())
            outside.close()

    def _on_datagrams(self, server: str) -> None:
        """Take what came from a server; what is no answer to the question is passed over."""
        try:
            message = self._sockets[server].recv(_LARGEST)
        except BlockingIOError:
            return
        except OSError:  # refused or unreachable
            self._owner.on_silence(server)
            self._give_up(server)
            return
        if dns.answers(message, self.question, self._asked):
            self._on_message(server, message, by_stream=False)

    def _on_message(self, server: str, message: bytes, *, by_stream: bool) -> None:
        if dns.code_of(message) in _FAILURES:
            self._failure = self._failure or message
            self._give_up(server)
        elif self.by_stream and not by_stream and dns.is_truncated(message):
            self._ask_by_stream(server)
        else:
            self._finish(message)

    def _give_up(self, server: str) -> None:
        """Do not ask a server again; if it is the one whose turn it was, ask the next."""
        self._servers = [other for other in self._servers if other != server]
        self._drop(server)
        if server == self._at or not (self._at or self._sockets):
            self.ask_next()

    def _ask_by_stream(self, server: str) -> None:
        self._drop(server)
        self._end_stream()
        self._at = server
        try:
            self._stream = _Stream(self._owner.loop, server, self._asked, self._on_stream)
        except OSError:  # as in `_send`
            self._give_up(server)
            return
        self._wait(min(self._owner.loop.now + PATIENCE, self._ends))

    def _on_stream(self, server: str, message: bytes) -> None:
        self._end_stream()
        if dns.answers(message, self.question, self._asked):
            self._on_message(server, message, by_stream=True)
        else:
            self._give_up(server)

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class _Stream:
    """A question by TCP; calls `on_message` with the server and the answer, an empty one if there is none."""

    def __init__(self, loop: Loop, server: str, message: bytes, on_message: Callable[[str, bytes], None]) -> None:
        """Begin to connect. Raises `OSError`."""
        self._loop = loop
        self._server = server
        self._out = len(message).to_bytes(2, "big") + message
        self._in = b""
        self._on_message = on_message
        self._socket = open_socket(server, SOCK_STREAM)
        self._socket.connect_ex((server, PORT))
        loop.watch(self._socket.fileno(), WRITABLE, self._on_events)

    def _on_events(self, _events: int) -> None:
        try:
            if self._out:
                self._write()
            else:
                self._read()
        except BlockingIOError:
            return
        except OSError:  # refused, reset
            self._on_message(self._server, b"")

    def _write(self) -> None:
        number = self._socket.getsockopt(SOL_SOCKET, SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))
        self._out = self._out[self._socket.send(self._out) :]
        if not self._out:
            self._loop.change(self._socket.fileno(), READABLE)

    def _read(self) -> None:
        part = self._socket.recv(_LARGEST + 2 - len(self._in))
        self._in += part
        length = int.from_bytes(self._in[:2], "big")
        if not part or (len(self._in) >= 2 and len(self._in) >= 2 + length):
            self._on_message(self._server, self._in[2 : 2 + length] if part else b"")

    def close(self) -> None:
        """Close the connection."""
        self._loop.forget(self._socket.fileno())
        self._socket.close()
