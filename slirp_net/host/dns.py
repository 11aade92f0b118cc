"""The name server that the container sees: it forwards to the host's, and knows the names of the host itself.

Theory of operation. A query for one of the configured names is answered here, with its IPv4 address, or with no records for other
types. Any other query goes, byte for byte, to the host's first name server, from a socket of its own with a port of its own
(RFC 5452, 9.2), and the answer goes back byte for byte; only its identifier is looked at. A server that refuses or does not answer
for a while is followed by the next; when all have refused, the answer is SERVFAIL, and when they are silent so are we, since the
container's resolver asks again. Queries by TCP are ordinary connections to the first name server.
"""

from __future__ import annotations

from _socket import SOCK_DGRAM

from slirp_net.host.outside import open_socket
from slirp_net.loop import NEVER, READABLE
from slirp_net.wire import dns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Final

    from slirp_net.host.resolv_conf import NameServers
    from slirp_net.loop import Loop
    from slirp_net.stack import Stack

PORT: Final = 53
_PATIENCE: Final = 3.0  # seconds for each server; less than the five after which resolv.conf(5) has the client ask again
_MOST: Final = 256  # queries under way
_LARGEST_ANSWER: Final = 65535


class Forwarder:
    """Answers what the container asks at `configuration.dns`."""

    def __init__(self, stack: Stack, loop: Loop, name_servers: NameServers) -> None:
        self.stack = stack
        self.loop = loop
        self.queries: dict[Query, None] = {}  # oldest first
        self._name_servers = name_servers

    def on_query(self, payload: memoryview, port: int) -> None:
        """Take a query from the container's `port` (`udp.Service`)."""
        question = dns.parse_query(payload)
        if question is None and len(payload) < dns.LENGTH:
            return
        if question is not None and question.name in self.stack.configuration.names:
            addresses = [self.stack.configuration.names[question.name]] if question.kind == dns.A else []
            self.answer(port, dns.answer(payload, question, addresses))
            return
        if len(self.queries) >= _MOST:
            next(iter(self.queries)).close()
        query = Query(self, bytes(payload), port, self._name_servers.current())
        self.queries[query] = None
        query.ask()

    def answer(self, port: int, message: bytes) -> None:
        """Send an answer to the container's `port`."""
        self.stack.send_udp(self.stack.configuration.dns, PORT, port, memoryview(message))


class Query:
    """A query under way to one of `servers`."""

    __slots__ = ("_forwarder", "_message", "_port", "_refused", "_servers", "_socket", "alarm", "deadline")

    def __init__(self, forwarder: Forwarder, message: bytes, port: int, servers: tuple[str, ...]) -> None:
        self.alarm = NEVER
        self.deadline = NEVER
        self._forwarder = forwarder
        self._message = message
        self._port = port
        self._servers = servers
        self._refused = True  # whether all servers so far have refused
        self._socket: socket | None = None

    def ask(self) -> None:
        """Ask the next server that takes the query; without any, the query ends."""
        self._end_socket()
        while self._servers:
            server, self._servers = self._servers[0], self._servers[1:]
            if self._send(server):
                self.deadline = self._forwarder.loop.now + _PATIENCE
                self._forwarder.loop.schedule(self)
                return
        question = dns.parse_query(memoryview(self._message))
        if self._refused and question is not None:
            failure = dns.answer(memoryview(self._message), question, [], dns.SERVER_FAILURE)
            self._forwarder.answer(self._port, failure)
        self.close()

    def on_timer(self) -> None:
        """Go on to the next server: this one did not answer."""
        self.deadline = NEVER
        self._refused = False
        self.ask()

    def close(self) -> None:
        """End the query."""
        self.deadline = NEVER
        self._end_socket()
        del self._forwarder.queries[self]

    def _send(self, server: str) -> bool:
        """Send the query to `server` and tell whether that worked."""
        try:
            outside = open_socket(server, SOCK_DGRAM)
        except OSError:  # no descriptors, or no IPv6: as if the server were not there
            return False
        try:
            outside.connect((server, PORT))
            outside.send(self._message)
        except OSError:  # not reachable
            outside.close()
            return False
        self._socket = outside
        self._forwarder.loop.watch(outside.fileno(), READABLE, self._on_events)
        return True

    def _on_events(self, _events: int) -> None:
        assert self._socket is not None
        try:
            message = self._socket.recv(_LARGEST_ANSWER)
        except BlockingIOError:
            return
        except OSError:  # refused or unreachable: the next one
            self.ask()
            return
        if message[:2] == self._message[:2]:
            self._forwarder.answer(self._port, message)
            self.close()

    def _end_socket(self) -> None:
        if self._socket is not None:
            self._forwarder.loop.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None
