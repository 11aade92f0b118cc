"""UDP datagrams to the outside and back: one connected socket for each pair of ends.

Theory of operation. The first datagram from a port of the container to a port outside makes a socket and connects it, so that only
that end can answer, and its ICMP errors come back to the socket (`icmp_errors`), and are told to the container as what they were. A
flow ends when nothing was sent or received for two minutes (RFC 4787, REQ-5; a name server's sooner), or when the container says by
ICMP that its port is closed: then the host says the same to the outside. When there are too many, the one that was not used for
longest makes room.
"""

from __future__ import annotations

from _socket import SOCK_DGRAM
from contextlib import suppress
from errno import EMSGSIZE, ENOBUFS
from select import EPOLLERR

from slirp_net import destinations
from slirp_net.host import icmp_errors
from slirp_net.host.outside import SCARCE, UNREACHABLE, open_socket
from slirp_net.loop import NEVER, READABLE
from slirp_net.wire import checksum, icmp, ip, ipv4, udp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    from slirp_net.buffers import Arena, Slot
    from slirp_net.loop import Loop
    from slirp_net.stack import Stack

    class Service(Protocol):
        """Answers datagrams to an address and port of the stack's own."""

        def on_query(self, payload: memoryview, asker: object, reply: Callable[[bytes], None]) -> object:
            """Take a datagram; `reply` sends one back to the `asker`, an address and a port in some form."""

    class Exchange(Protocol):
        """A pair of ends that exchange datagrams; `key` is the destination of the container's, and their ports."""

        key: bytes
        alarm: float
        deadline: float

        def send(self, packet: memoryview, payload: memoryview) -> None:
            """Take a datagram of the container's: the packet, and what it carries."""

        def on_timer(self) -> None:
            """End it: it was not used for a while."""

        def close(self) -> None:
            """End it, and call `Datagrams.remove`."""


_IDLE: Final = 120.0  # seconds
_IDLE_DNS: Final = 20.0  # for one question, mostly
_DNS: Final = 53  # port
_MOST: Final = 1024
_FAIR: Final = 32  # datagrams read from a socket in one round


class Datagrams:
    """All UDP flows of the container; `services` are those of the stack's own ends: (address, port)."""

    def __init__(self, stack: Stack, loop: Loop, arena: Arena) -> None:
        self.stack = stack
        self.loop = loop
        self.arena = arena
        self.services: dict[tuple[bytes, int], Service] = {}
        self._flows: dict[bytes, Exchange] = {}  # least recently used first
        stack.carry(ipv4.UDP, self)

    def __len__(self) -> int:
        return len(self._flows)

    def on_packet(
        self, source: bytes, destination: bytes, packet: memoryview, payload: memoryview, _slot: Slot | None, vouched: bool
    ) -> bool:
        """Take a UDP packet of the container's (`stack.Transport`); never keeps the slot."""
        fields = udp.parse(payload)
        if fields is None or not fields[0] or not (vouched or _is_valid(source, destination, payload, fields)):
            self.stack.dropped += 1
            return False
        source_port, port, length, _ = fields
        key = destination + payload[:4]
        flow = self._flows.pop(key, None)
        if flow is not None:
            self._flows[key] = flow
            flow.send(packet, payload[udp.LENGTH : length])
            return False
        service = self.services.get((destination, port))
        if service is not None:
            service.on_query(payload[udp.LENGTH : length], key, self._reply(destination, port, source_port))
            return False
        address = destinations.resolve(self.stack.configuration, destination)
        if address == destinations.REFUSED:
            self.stack.send_error(icmp.PORT_UNREACHABLE, packet, source=destination)
        elif address == destinations.NO_HOST:
            self.stack.send_error(icmp.HOST_UNREACHABLE, packet)
        elif address != destinations.SILENCE:
            self._open(key, destination, fields, address, packet, payload[udp.LENGTH : length])
        return False

    def _reply(self, source: bytes, source_port: int, port: int) -> Callable[[bytes], None]:
        return lambda message: self.stack.send_udp(source, source_port, port, memoryview(message))

    def on_unreachable(self, source: bytes, ports: bytes) -> None:
        """End a flow whose datagram from `source`, its `ports` as in its header, the container has refused by ICMP."""
        flow = self._flows.get(source + ports[2:] + ports[:2])
        if flow is not None:
            flow.close()

    def add(self, flow: Exchange) -> bool:
        """Take one that the outside has begun; False when there is one between these ends already."""
        if flow.key in self._flows:
            return False
        self._make_room()
        self._flows[flow.key] = flow
        return True

    def extend(self, flow: Exchange) -> None:
        """Note that one of `add` was used."""
        flow.deadline = self.loop.now + _IDLE
        self.loop.schedule(flow)

    def remove(self, flow: Exchange) -> None:
        """Forget a flow that is closed."""
        del self._flows[flow.key]

    def _open(
        self, key: bytes, destination: bytes, fields: tuple[int, ...], address: str, packet: memoryview, payload: memoryview
    ) -> None:
        self._make_room()
        flow = UdpFlow(self, key, destination, fields[0], fields[1])
        try:
            flow.connect(address)
        except OSError as error:
            if error.errno not in SCARCE:
                flow.tell(error.errno)
            return
        self._flows[key] = flow
        flow.send(packet, payload)

    def _make_room(self) -> None:
        if len(self._flows) >= _MOST:
            next(iter(self._flows.values())).close()


class UdpFlow:
    """One pair of ends: the container's `port` and a port of `destination`."""

    __slots__ = ("_datagrams", "_destination", "_peer", "_port", "_remote_port", "_socket", "_time", "alarm", "deadline", "key")

    def __init__(self, datagrams: Datagrams, key: bytes, destination: bytes, port: int, remote_port: int) -> None:
        self.key = key
        self.alarm = NEVER
        self.deadline = NEVER
        self._datagrams = datagrams
        self._destination = destination
        self._port = port
        self._remote_port = remote_port
        self._time = 0

    def connect(self, address: str) -> None:
        """Make and connect the socket. Raises `OSError`."""
        outside = open_socket(address, SOCK_DGRAM)
        try:
            icmp_errors.ask_for(outside)
            outside.connect((address, self._remote_port))
        except OSError:
            outside.close()
            raise
        self._socket = outside
        self._peer = ip.parse_address(address)
        self._datagrams.loop.watch(outside.fileno(), READABLE, self._on_events)
        self._extend()

    def send(self, packet: memoryview, payload: memoryview) -> None:
        """Send the payload of a packet to the outside; it is lost when the socket has no room, as on any network."""
        self._time = icmp_errors.pass_on_time(self._socket, packet, self._time)
        try:
            self._send(payload)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno not in (EMSGSIZE, ENOBUFS):
                self.tell(error.errno)
        self._extend()

    def _send(self, payload: memoryview) -> None:
        """Send a datagram. Raises `OSError`."""
        try:
            self._socket.send(payload)
        except BlockingIOError:
            raise
        except OSError:
            if not self._tell_of_errors():
                raise
            self._socket.send(payload)  # the error was that of an earlier datagram

    def tell(self, number: int | None) -> None:
        """Tell the container by ICMP that a datagram of this flow met the error `number`."""
        code = UNREACHABLE.get(number or 0, icmp.PORT_UNREACHABLE)
        source = self._destination if code == icmp.PORT_UNREACHABLE else None
        self._datagrams.stack.send_error(code, self._quote(b""), source=source)

    def _tell_of_errors(self) -> bool:
        """Tell the container of the ICMP errors that came from the outside, and tell whether there were any."""
        return icmp_errors.tell(self._datagrams.stack, self._socket, self._peer, self._destination, self._quote)

    def _quote(self, payload: bytes) -> bytes:
        """Return the container's packet that began with `payload`."""
        own = self._datagrams.stack.configuration.own_address(self._destination)
        sent = udp.header4(own, self._destination, self._port, self._remote_port, payload) + payload
        return ip.header(ipv4.UDP, own, self._destination, len(sent)) + sent

    def on_timer(self) -> None:
        """End the flow: it was not used for a while."""
        self.close()

    def close(self) -> None:
        """End the flow."""
        self.deadline = NEVER
        self._datagrams.loop.forget(self._socket.fileno())
        self._socket.close()
        self._datagrams.remove(self)

    def _on_events(self, events: int) -> None:
        if events & EPOLLERR and self._tell_of_errors() and not events & READABLE:
            return
        arena = self._datagrams.arena
        slot = arena.take()
        if slot is None:
            self._lose()
            return
        try:
            for _ in range(_FAIR):
                count = self._socket.recv_into(slot.view)
                self._datagrams.stack.send_udp(self._destination, self._remote_port, self._port, slot.view[:count])
        except BlockingIOError:
            pass  # that was all
        except OSError as error:  # an error that came meanwhile, or none of ICMP's
            if not self._tell_of_errors():
                self.tell(error.errno)
        finally:
            arena.give(slot)
        self._extend()

    def _lose(self) -> None:
        """Lose a datagram for want of memory, as networks may: what is not read would wake the loop again and again."""
        with suppress(OSError):  # none is there any more, or an error that would be told is lost as well
            self._socket.recv(1)

    def _extend(self) -> None:
        loop = self._datagrams.loop
        self.deadline = loop.now + (_IDLE_DNS if self._remote_port == _DNS else _IDLE)
        loop.schedule(self)


def _is_valid(source: bytes, destination: bytes, datagram: memoryview, fields: tuple[int, int, int, int]) -> bool:
    length = fields[2]
    if not fields[3]:
        return len(source) != ip.LENGTH6  # over IPv6 the checksum is not optional (RFC 8200, 8.1)
    return checksum.is_valid(datagram[:length], ipv4.pseudo_sum(ipv4.UDP, source, destination) + length)
