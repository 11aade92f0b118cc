"""Neighbour discovery for the stack's own IPv6 addresses.

Theory of operation. The gateway, which has a link-local address as well, and the name server are at one Ethernet address. Who asks
for one of them gets an advertisement, alone or, if nobody has the asker's address yet (duplicate address detection, RFC 4862), as
one of all nodes. A router solicitation is answered the same way. Both must come from the link: their hop limit is 255, as no
router leaves it. The container's own address is given to it by the engine, so nothing is sent unasked.
"""

from __future__ import annotations

from slirp_net.wire import icmp6, ipv6, ndp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from slirp_net.configuration import Configuration6
    from slirp_net.stack import Stack

class Neighbours:
    """Answers for the addresses of `network` with the Ethernet address `mac`."""

    def __init__(self, stack: Stack, network: Configuration6, mac: bytes, mtu: int) -> None:
        self._stack = stack
        self._network = network
        self._mac = mac
        self._mtu = mtu

    def on_message(self, source: bytes, hop_limit: int, message: memoryview) -> bool:
        """Take an ICMPv6 message with a valid checksum; tells whether it was one of neighbour discovery's."""
        kind = message[0]
        if not ndp.ROUTER_SOLICITATION <= kind <= ndp.NEIGHBOUR_ADVERTISEMENT:
            return False
        if hop_limit != ipv6.NEIGHBOUR_HOP_LIMIT or message[1]:
            return True
        if kind == ndp.NEIGHBOUR_SOLICITATION:
            self._on_solicitation(source, message)
        elif kind == ndp.ROUTER_SOLICITATION and ndp.options_are_valid(message[icmp6.LENGTH :]):
            self._advertise_router(source)
        return True

    def _on_solicitation(self, source: bytes, message: memoryview) -> None:
        target = ndp.parse_solicitation(message)
        if target not in self._network.own:
            return
        rest, body = ndp.advertisement(target, self._mac, solicited=source != ipv6.ANYBODY)
        self._send(ndp.NEIGHBOUR_ADVERTISEMENT, rest, body, target, source)

    def _advertise_router(self, source: bytes) -> None:
        network = self._network
        rest, body = ndp.router_advertisement(self._mac, self._mtu, network.prefix, network.prefix_length, network.dns)
        self._send(ndp.ROUTER_ADVERTISEMENT, rest, body, network.link_local, source)

    def _send(self, kind: int, rest: int, body: bytes, source: bytes, asker: bytes) -> None:
        destination = ndp.ALL_NODES if asker == ipv6.ANYBODY else asker
        message = icmp6.emit(kind, 0, rest, body, source, destination)
        self._stack.send6(ipv6.ICMP, source, destination, message, hop_limit=ipv6.NEIGHBOUR_HOP_LIMIT)
