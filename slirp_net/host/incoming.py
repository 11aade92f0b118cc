"""A TCP connection that comes in by a published port: like others (`flow`), but opened from its other end.

the socket                             the container
connected already (`adopt`)            <- SYN
nothing is read from it yet            SYN ACK (`on_answer`), ->
read and written from now on           <- ACK
close with a reset                     RST: nobody listens; or no answer at all
"""

from __future__ import annotations

from slirp_net.host.flow import Flow
from slirp_net.loop import ALL_EDGES
from slirp_net.tcp.states import OPENED, SYN_SENT
from slirp_net.wire import tcp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

    from slirp_net.host.tcp import Flows
    from slirp_net.tcp.connection import Connection
    from slirp_net.wire.frames import Frame4


class IncomingFlow(Flow):
    """A flow whose connection is an active one."""

    __slots__ = ("_is_open",)

    def __init__(self, flows: Flows, key: bytes, connection: Connection, frame: Frame4) -> None:
        super().__init__(flows, key, connection, frame)
        self._is_open = False

    @property
    def is_waiting(self) -> bool:
        """Whether the container has not answered yet."""
        return self.connection.state == SYN_SENT

    def adopt(self, outside: socket) -> None:
        """Use a socket that somebody outside has connected, and send the container its SYN."""
        self._connected = True
        self._socket = outside
        self._flows.loop.watch(outside.fileno(), ALL_EDGES, self.on_events)
        self._flows.settle_later(self)

    def on_answer(self, fields: tuple[int, ...], options: tcp.Options) -> None:
        """Take the container's SYN, with the header's `fields` (`wire.tcp.parse`); without an ACK both have opened at once."""
        acknowledgement = fields[3] if fields[4] & tcp.ACK else -1
        events = self.connection.on_syn_acknowledged(fields[2], acknowledgement, fields[5], options, self._flows.loop.now)
        self._measure()
        if events:
            self._on_change(events)
        if not self.unsettled:
            self._flows.settle_later(self)

    def _on_change(self, events: int) -> None:
        self._is_open = self._is_open or bool(events & OPENED)
        super()._on_change(events)

    def _pump(self) -> bool:
        return self._is_open and super()._pump()
