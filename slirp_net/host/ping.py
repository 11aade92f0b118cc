"""ICMP from the container: echo to the stack's own addresses, and to the outside by ping sockets.

A ping socket (SOCK_DGRAM with IPPROTO_ICMP; icmp(7)) needs no privilege where net.ipv4.ping_group_range has the user's group. Where
it has not, the container is told that the way is closed, not that the host is there or gone. The kernel puts an identifier of
its own into the request; the container's is put back into the reply.
"""

from __future__ import annotations

from _socket import IPPROTO_ICMP, SOCK_DGRAM
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM

from slirp_net import destinations
from slirp_net.host import icmp_errors
from slirp_net.host.outside import UNREACHABLE, open_socket
from slirp_net.loop import NEVER, READABLE
from slirp_net.wire import icmp, icmp6, ip, ipv4, ipv6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from slirp_net.buffers import Slot
    from slirp_net.host.udp import Datagrams
    from slirp_net.loop import Loop
    from slirp_net.stack import Stack

_LENGTH: Final = 30.0  # seconds without a request after which a ping ends
_MOST: Final = 128
_LARGEST: Final = 65535
_SCARCE: Final = frozenset({EMFILE, ENFILE, ENOBUFS, ENOMEM})


class Pings:
    """Takes the container's ICMP packets."""

    def __init__(self, stack: Stack, loop: Loop, datagrams: Datagrams) -> None:
        self.stack = stack
        self.loop = loop
        self._datagrams = datagrams
        self.pings: dict[tuple[bytes, int], Ping] = {}  # by destination and identifier, oldest first
        stack.carry(ipv4.ICMP, self)
        stack.carry(ipv6.ICMP, self)

    def on_packet(
        self, source: bytes, destination: bytes, packet: memoryview, payload: memoryview, _slot: Slot | None, _vouched: bool
    ) -> bool:
        """Take an ICMP packet of the container's, an echo request or that a port is closed; never keeps the slot."""
        if len(destination) == ip.LENGTH6:
            self._on_packet6(source, destination, packet, payload)
            return False
        message = icmp.parse(payload)
        if message is not None and message[:2] == (icmp.UNREACHABLE, icmp.PORT_UNREACHABLE):
            self._on_unreachable(payload[icmp.LENGTH :])
            return False
        if message is None or message[0] != icmp.ECHO:
            self.stack.dropped += 1
            return False
        _, _, identifier, sequence = message
        configuration = self.stack.configuration
        if destination in (configuration.gateway, configuration.dns):
            self.stack.send(ipv4.ICMP, destination, icmp.echo(icmp.ECHO_REPLY, identifier, sequence, payload[icmp.LENGTH :]))
            return False
        self._pass_on(destination, identifier, packet, payload)
        return False

    def _on_packet6(self, source: bytes, destination: bytes, packet: memoryview, payload: memoryview) -> None:
        """Take an ICMPv6 packet that is not of neighbour discovery; who listens to multicast need not be known here."""
        message = icmp6.parse(payload, source, destination)
        network = self.stack.configuration.network6
        assert network is not None
        if message is not None and message[:2] == (icmp6.UNREACHABLE, icmp6.PORT_UNREACHABLE):
            self._on_unreachable(payload[icmp6.LENGTH :])
        elif message is None or message[0] != icmp6.ECHO:
            self.stack.dropped += 1
        elif destination in network.own:
            reply = icmp6.emit(icmp6.ECHO_REPLY, 0, message[2], payload[icmp6.LENGTH :], destination, source)
            self.stack.send6(ipv6.ICMP, destination, source, reply)
        elif source == network.address:
            self._pass_on(destination, message[2] >> 16, packet, payload)

    def _pass_on(self, destination: bytes, identifier: int, packet: memoryview, payload: memoryview) -> None:
        """Send an echo request to the outside, or tell why not."""
        configuration = self.stack.configuration
        address = destinations.resolve(configuration, destination)
        if address == destinations.NO_HOST:
            self.stack.send_error(icmp.HOST_UNREACHABLE, packet)
        elif address not in destinations.REACHES_NOTHING:
            self._send(destination, address, identifier, packet, payload)

    def _on_unreachable(self, quoted: memoryview) -> None:
        """Take note that the container has refused a datagram of ours, whose beginning is quoted."""
        fields = ip.parse_beginning(quoted)
        if fields is not None and fields[1] == ipv4.UDP:
            length, _protocol, source, _destination = fields
            self._datagrams.on_unreachable(source, bytes(quoted[length : length + 4]))

    def _send(self, destination: bytes, address: str, identifier: int, packet: memoryview, payload: memoryview) -> None:
        ping = self.pings.get((destination, identifier))
        try:
            if ping is None:
                if len(self.pings) >= _MOST:
                    next(iter(self.pings.values())).close()
                ping = Ping(self, destination, address, identifier)
                self.pings[destination, identifier] = ping
            ping.send(packet, payload)
        except BlockingIOError:
            return  # lost
        except OSError as error:
            if error.errno not in _SCARCE:
                self.stack.send_error(UNREACHABLE.get(error.errno or 0, icmp.PROHIBITED), packet)


class Ping:
    """The echo requests with one identifier to one destination."""

    __slots__ = ("_destination", "_identifier", "_peer", "_pings", "_socket", "_time", "alarm", "deadline")

    def __init__(self, pings: Pings, destination: bytes, address: str, identifier: int) -> None:
        """Open a ping socket to `address`. Raises `OSError`, where the host does not allow it with EACCES."""
        self.alarm = NEVER
        self.deadline = NEVER
        self._pings = pings
        self._destination = destination
        self._identifier = identifier
        self._time = 0
        self._peer = ip.parse_address(address)
        self._socket = open_socket(address, SOCK_DGRAM, ipv6.ICMP if len(destination) == ip.LENGTH6 else IPPROTO_ICMP)
        try:
            icmp_errors.ask_for(self._socket)
            self._socket.connect((address, 0))
        except OSError:
            self._socket.close()
            raise
        pings.loop.watch(self._socket.fileno(), READABLE, self._on_events)

    def send(self, packet: memoryview, message: memoryview) -> None:
        """Send an echo request, which came in a packet. Raises `OSError`."""
        self._time = icmp_errors.pass_on_time(self._socket, packet, self._time)
        self.deadline = self._pings.loop.now + _LENGTH
        self._pings.loop.schedule(self)
        try:
            self._socket.send(message)
        except BlockingIOError:
            raise
        except OSError:
            if not self._tell_of_errors():
                raise
            self._socket.send(message)  # the error was that of an earlier request

    def on_timer(self) -> None:
        """End the ping: nothing was asked for a while."""
        self.close()

    def close(self) -> None:
        """End the ping."""
        self.deadline = NEVER
        self._pings.loop.forget(self._socket.fileno())
        self._socket.close()
        del self._pings.pings[self._destination, self._identifier]

    def _tell_of_errors(self) -> bool:
        """Tell the container of the ICMP errors that came from the outside, and tell whether there were any."""
        return icmp_errors.tell(self._pings.stack, self._socket, self._peer, self._destination, self._quote)

    def _quote(self, message: bytes) -> bytes:
        """Return the container's packet of a request, which went out with another identifier."""
        fields = icmp.parse_header(message)
        own = self._pings.stack.configuration.own_address(self._destination)
        if len(own) == ip.LENGTH6:
            if fields is not None:
                rest = self._identifier << 16 | fields[3]
                message = icmp6.emit(icmp6.ECHO, 0, rest, message[icmp6.LENGTH :], own, self._destination)
            return ipv6.header(ipv6.ICMP, own, self._destination, len(message)) + message
        if fields is not None:
            message = icmp.echo(icmp.ECHO, self._identifier, fields[3], message[icmp.LENGTH :])
        return ipv4.header(ipv4.ICMP, own, self._destination, len(message)) + message

    def _on_events(self, _events: int) -> None:
        stack = self._pings.stack
        self._tell_of_errors()
        try:
            message = memoryview(self._socket.recv(_LARGEST))
        except OSError:  # nothing, or an error that came meanwhile and will be told next
            return
        if len(self._destination) == ip.LENGTH6:
            self._reply6(message)
            return
        fields = icmp.parse(message)
        if fields is not None and fields[0] == icmp.ECHO_REPLY:
            reply = icmp.echo(icmp.ECHO_REPLY, self._identifier, fields[3], message[icmp.LENGTH :])
            stack.send(ipv4.ICMP, self._destination, reply)

    def _reply6(self, message: memoryview) -> None:
        """Pass a reply on, whose checksum, over the outside's addresses, the kernel has looked at."""
        fields = icmp.parse_header(message)
        if fields is not None and fields[0] == icmp6.ECHO_REPLY:
            stack = self._pings.stack
            own = stack.configuration.own_address(self._destination)
            rest = self._identifier << 16 | fields[3]
            reply = icmp6.emit(icmp6.ECHO_REPLY, 0, rest, message[icmp6.LENGTH :], self._destination, own)
            stack.send(ipv6.ICMP, self._destination, reply)
