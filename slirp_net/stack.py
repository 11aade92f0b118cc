"""Frames from the container: what they carry and who takes it.

Theory of operation. A frame is dropped unless it is well formed, addressed to the gateway, and from the container's own address
(RFC 1122, 3.2.1.3; RFC 2827). ARP is answered for the gateway and for the name server. ICMP echo to these two is answered here;
TCP, UDP and echo to the outside go to the parts that hold the host's sockets. Fragments wait until their datagram is complete.

IPv6 is the same where the container has it, but for neighbour discovery (`neighbours`), which comes to many (RFC 2464, section 7)
and, like anything that stays on the link, from link-local addresses or from none.
"""

from __future__ import annotations

from slirp_net.configuration import LINK_LOCAL
from slirp_net.device import ETHERNET_AT, PACKET_AT
from slirp_net.neighbours import Neighbours
from slirp_net.reassembly import Reassembly
from slirp_net.wire import arp, ethernet, icmp, icmp6, ip, ipv4, ipv6, udp, vnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from slirp_net.buffers import Slot
    from slirp_net.configuration import Configuration, Configuration6
    from slirp_net.device import Device
    from slirp_net.loop import Loop

    class Transport(Protocol):
        """Takes the packets of one IP protocol."""

        def on_packet(
            self, source: bytes, destination: bytes, packet: memoryview, payload: memoryview, slot: Slot | None, vouched: bool
        ) -> bool:
            """Take a packet from the container and tell whether its slot was kept.

            `packet` is all of it with the IP header, `payload` what follows that header. `slot` is None when the payload may not be
            kept; `vouched` tells that the checksum needs no check.
            """


_ETHERTYPE_AT: Final = ETHERNET_AT + 12
_UDP_AT: Final = ethernet.LENGTH + ipv4.LENGTH
_FIRST_MULTICAST: Final = 224
_UDP_CHECKSUM: Final = vnet.partial_checksum(_UDP_AT + udp.LENGTH, _UDP_AT, udp.CHECKSUM_OFFSET)
_UDP_AT6: Final = ethernet.LENGTH + ipv6.LENGTH
_UDP_CHECKSUM6: Final = vnet.partial_checksum(_UDP_AT6 + udp.LENGTH, _UDP_AT6, udp.CHECKSUM_OFFSET)
_TO_MANY6: Final = b"\x33\x33"  # RFC 2464, section 7
_MULTICAST6: Final = 0xFF
_NO_NEXT_HEADER: Final = 59
_NEXT_HEADER_AT: Final = 6  # in an IPv6 header
_RESERVED: Final = 6  # bits of a fragment's field


class Stack:
    """The network layer of one container."""

    def __init__(self, configuration: Configuration, tap: Device, loop: Loop) -> None:
        self.configuration = configuration
        self._reassembly = Reassembly(loop, self._on_incomplete)
        self._identification = 0
        self._tap = tap
        self._transports: dict[int, Transport] = {}
        self._own = frozenset({configuration.gateway, configuration.dns})
        self.ethernet_header = ethernet.header(configuration.mac, configuration.gateway_mac, ethernet.IPV4)
        self.ethernet_header6 = ethernet.header(configuration.mac, configuration.gateway_mac, ethernet.IPV6)
        network6 = configuration.network6
        self._neighbours = (
            None if network6 is None else Neighbours(self, network6, configuration.gateway_mac, configuration.mtu)
        )
        self.dropped = 0

    def carry(self, protocol: int, transport: Transport) -> None:
        """Give packets of an IP protocol to `transport`."""
        self._transports[protocol] = transport

    def on_frame(self, slot: Slot, length: int) -> bool:
        """Take a frame of `length` bytes and tell whether its slot was kept."""
        frame = slot.view
        ethertype = bytes(frame[_ETHERTYPE_AT:PACKET_AT])
        if length <= PACKET_AT:
            self.dropped += 1
        elif ethertype == ethernet.IPV4 and frame[ETHERNET_AT : ETHERNET_AT + 6] == self.configuration.gateway_mac:
            return self._on_ipv4(slot, frame[PACKET_AT:length], bool(frame[0] & vnet.CHECKSUM_VOUCHED))
        elif ethertype == ethernet.ARP:
            self._on_arp(frame[PACKET_AT:length])
        elif ethertype == ethernet.IPV6 and self._neighbours is not None and self._is_for_us6(frame):
            return self._on_ipv6(slot, frame[PACKET_AT:length], bool(frame[0] & vnet.CHECKSUM_VOUCHED))
        else:
            self.dropped += 1
        return False

    def send(self, protocol: int, source: bytes, *payload: bytes | memoryview) -> None:
        """Send a packet, in fragments if it must be; `payload` is what follows the IP header, with all its checksums."""
        if len(source) == ip.LENGTH6:
            self.send6(protocol, source, self.configuration.own_address(source), *payload)
            return
        size = sum(map(len, payload))
        if ipv4.LENGTH + size > self.configuration.mtu:
            self._send_fragments(protocol, source, memoryview(b"".join(payload)))
            return
        header = ipv4.header(protocol, source, self.configuration.address, size)
        self._tap.write((vnet.PLAIN, self.ethernet_header, header, *payload))

    def send6(
        self,
        protocol: int,
        source: bytes,
        destination: bytes,
        *payload: bytes | memoryview,
        hop_limit: int = ipv6.HOP_LIMIT,
    ) -> None:
        """Send an IPv6 packet to one of the container's addresses, or to all nodes of the link."""
        size = sum(map(len, payload))
        if ipv6.LENGTH + size > self.configuration.mtu:
            self._send_fragments6(protocol, source, destination, memoryview(b"".join(payload)))
            return
        header = ipv6.header(protocol, source, destination, size, hop_limit)
        self._tap.write((vnet.PLAIN, self.ethernet_header6, header, *payload))

    def send_udp(self, source: bytes, source_port: int, port: int, payload: memoryview) -> None:
        """Send a datagram of up to 65507 bytes from the port `source_port` of `source` to the container's `port`."""
        address = self.configuration.own_address(source)
        is_version6 = len(source) == ip.LENGTH6
        size = udp.LENGTH + len(payload)
        if (ipv6.LENGTH if is_version6 else ipv4.LENGTH) + size > self.configuration.mtu:
            self.send(ipv4.UDP, source, udp.header4(source, address, source_port, port, payload), payload)
            return
        header = udp.partial_header4(source, address, source_port, port, len(payload))
        if is_version6:
            header6 = ipv6.header(ipv4.UDP, source, address, size)
            self._tap.write((_UDP_CHECKSUM6, self.ethernet_header6, header6, header, payload))
            return
        self._tap.write((_UDP_CHECKSUM, self.ethernet_header, ipv4.header(ipv4.UDP, source, address, size), header, payload))

    def send_error(
        self, code: int, packet: bytes | memoryview, kind: int = icmp.UNREACHABLE, source: bytes | None = None, info: int = 0
    ) -> None:
        """Tell the container by ICMP, from the gateway or from `source`, why `packet` did not arrive (`icmp.error`).

        About an IPv6 packet it is the error of ICMPv6 that means the same.
        """
        if ip.is_version6(packet):
            self.send_error6(*icmp6.from_icmp(kind, code), packet, info, source)
            return
        if not _may_be_told_of(packet):
            return
        self.send(ipv4.ICMP, source or self.configuration.gateway, icmp.error(kind, code, packet, info))

    def send_error6(
        self, kind: int, code: int, packet: bytes | memoryview, info: int = 0, source: bytes | None = None
    ) -> None:
        """Tell the container by ICMPv6, from the gateway or from `source`, why the IPv6 `packet` did not arrive."""
        network = self.configuration.network6
        if network is None or not _may_be_told_of6(packet):
            return
        _length, _protocol, asker, _destination = ipv6.parse_beginning(packet) or (0, 0, b"", b"")
        sender = source or network.gateway
        self.send6(ipv6.ICMP, sender, asker, icmp6.emit(kind, code, info, icmp6.quoted(packet), sender, asker))

    def _is_for_us6(self, frame: memoryview) -> bool:
        mac = bytes(frame[ETHERNET_AT : ETHERNET_AT + 6])
        return mac == self.configuration.gateway_mac or mac[:2] == _TO_MANY6

    def _on_ipv6(self, slot: Slot | None, packet: memoryview, vouched: bool) -> bool:
        fields = ipv6.parse(packet)
        network = self.configuration.network6
        assert network is not None
        if fields is None or not _may_come_from(network, fields[3], fields[4]):
            self.dropped += 1
            return False
        at, total, protocol, source, destination, hops, fragment = fields
        packet = packet[:total]
        if fragment is not None:
            self._on_fragment6(slot, packet, at, protocol, fragment)
            return False
        if protocol == ipv6.ICMP and self._is_of_neighbours(source, destination, hops, packet[at:]):
            return False
        transport = self._transports.get(protocol)
        if hops <= 1 and destination not in network.own:
            self.send_error(0, packet, icmp.TIME_EXCEEDED)
        elif transport is None or protocol == ipv4.ICMP:
            self.dropped += 1
            if protocol != _NO_NEXT_HEADER:
                self.send_error6(icmp6.PARAMETER_PROBLEM, icmp6.UNKNOWN_NEXT_HEADER, packet, _next_header_at(packet, at))
        elif source == network.address or (protocol == ipv6.ICMP and source != ipv6.ANYBODY):
            return transport.on_packet(source, destination, packet, packet[at:], slot, vouched)
        else:
            self.dropped += 1
        return False

    def _is_of_neighbours(self, source: bytes, destination: bytes, hops: int, message: memoryview) -> bool:
        assert self._neighbours is not None
        fields = icmp6.parse(message, source, destination)
        return fields is not None and self._neighbours.on_message(source, hops, message)

    def _on_fragment6(self, slot: Slot | None, packet: memoryview, at: int, protocol: int, fragment: tuple[int, int]) -> None:
        """Take a fragment; the whole packet has no extension headers but those within the fragments."""
        if slot is None:
            self.dropped += 1  # a fragment of a fragment
            return
        field, identification = fragment
        header = bytearray(packet[: ipv6.LENGTH])
        header[_NEXT_HEADER_AT] = protocol
        piece = memoryview(b"".join((header, packet[at:])))
        whole: bytes | memoryview | None = piece
        if field & ~_RESERVED:  # else it is all of it, by itself (RFC 6946)
            key = (bytes(packet[8:24]), bytes(packet[24:40]), protocol, identification)
            bits = field >> 3 | (ipv4.MORE_FRAGMENTS if field & ipv6.MORE_FRAGMENTS else 0)
            whole = self._reassembly.add(piece, ipv6.LENGTH, key, bits)
        if whole is not None:
            length = (len(whole) - ipv6.LENGTH).to_bytes(2, "big")
            self._on_ipv6(None, memoryview(b"".join((whole[:4], length, whole[6:]))), vouched=False)

    def _on_ipv4(self, slot: Slot, packet: memoryview, vouched: bool) -> bool:
        fields = ipv4.parse(packet)
        if fields is None or fields[3] != self.configuration.address:
            self.dropped += 1
            return False
        length, total, protocol, source, destination, ttl, fragment, identification = fields
        packet = packet[:total]
        transport = self._transports.get(protocol)
        if ttl <= 1 and destination not in self._own:
            self.send_error(0, packet, icmp.TIME_EXCEEDED)
        elif transport is None or protocol == ipv6.ICMP:
            self.dropped += 1
            self.send_error(icmp.PROTOCOL_UNREACHABLE, packet)
        elif fragment & ipv4.FRAGMENT_MASK:
            whole = self._reassembly.add(packet, length, (source, destination, protocol, identification), fragment)
            if whole is not None:
                packet = memoryview(whole)
                transport.on_packet(source, destination, packet, packet[length:], None, False)
        else:
            return transport.on_packet(source, destination, packet, packet[length:], slot, vouched)
        return False

    def _on_incomplete(self, beginning: bytes) -> None:
        """Tell the container that a datagram was not complete in time (RFC 1122, 3.3.2)."""
        self.send_error(icmp.REASSEMBLY_TIME, beginning, icmp.TIME_EXCEEDED)

    def _send_fragments(self, protocol: int, source: bytes, payload: memoryview) -> None:
        """Send a packet that is larger than the MTU (RFC 791, 3.2)."""
        self._identification = (self._identification + 1) & 0xFFFF
        most = (self.configuration.mtu - ipv4.LENGTH) & ~7
        for start in range(0, len(payload), most):
            piece = payload[start : start + most]
            fragment = start >> 3 | (ipv4.MORE_FRAGMENTS if start + most < len(payload) else 0)
            header = ipv4.header(protocol, source, self.configuration.address, len(piece), fragment, self._identification)
            self._tap.write((vnet.PLAIN, self.ethernet_header, header, piece))

    def _send_fragments6(self, protocol: int, source: bytes, destination: bytes, payload: memoryview) -> None:
        """Send a packet that is larger than the MTU (RFC 8200, 4.5)."""
        self._identification = (self._identification + 1) & 0xFFFF
        most = (self.configuration.mtu - ipv6.LENGTH - ipv6.FRAGMENT_LENGTH) & ~7
        for start in range(0, len(payload), most):
            piece = payload[start : start + most]
            header = ipv6.header(ipv6.FRAGMENT, source, destination, ipv6.FRAGMENT_LENGTH + len(piece))
            extension = ipv6.fragment_header(protocol, start, self._identification, more=start + most < len(payload))
            self._tap.write((vnet.PLAIN, self.ethernet_header6, header, extension, piece))

    def _on_arp(self, packet: memoryview) -> None:
        """Answer who asks for the gateway or the name server (RFC 826); a probe for an address (RFC 5227) is not one of ours."""
        request = arp.parse_request(packet)
        if request is None or request[2] not in self._own:
            return
        mac, sender, wanted = request
        configuration = self.configuration
        header = ethernet.header(mac, configuration.gateway_mac, ethernet.ARP)
        self._tap.write((vnet.PLAIN, header, arp.reply(configuration.gateway_mac, wanted, mac, sender)))


def _may_be_told_of(packet: bytes | memoryview) -> bool:
    """Tell whether an error may be sent about an IPv4 packet (RFC 1122, 3.2.2).

    Not about errors, what goes to many, or fragments but the first.
    """
    length, protocol, _source, destination = ipv4.parse_beginning(packet) or (0, 0, b"", b"")
    if not length or destination[0] >= _FIRST_MULTICAST or ipv4.offset_of(packet):
        return False
    return protocol != ipv4.ICMP or icmp.is_query(packet[length:])


def _may_come_from(network: Configuration6, source: bytes, destination: bytes) -> bool:
    """Tell whether a packet may have this source: the container's address, or for what stays on the link one that is only there."""
    if source == network.address:
        return True
    stays = destination[0] == _MULTICAST6 or destination in network.own
    return stays and (source[:8] == LINK_LOCAL or source == ipv6.ANYBODY)


def _may_be_told_of6(packet: bytes | memoryview) -> bool:
    """Tell whether an error may be sent about an IPv6 packet (RFC 4443, 2.4 (e)): not about errors, to many, or from nobody."""
    length, protocol, source, destination = ipv6.parse_beginning(packet) or (0, 0, b"", b"")
    if not length or destination[0] == _MULTICAST6 or source == ipv6.ANYBODY:
        return False
    return protocol != ipv6.ICMP or icmp6.is_query(packet[length:])


def _next_header_at(packet: memoryview, at: int) -> int:
    """Return where the protocol of the payload at `at` is named."""
    place, following = _NEXT_HEADER_AT, ipv6.LENGTH
    while following < at:
        place, following = following, following + 8 + (packet[following + 1] << 3)
    return place
