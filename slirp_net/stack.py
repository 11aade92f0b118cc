"""Frames from the container: what they carry and who takes it.

Theory of operation. A frame is dropped unless it is well formed, addressed to the gateway, and from the container's own address
(RFC 1122, 3.2.1.3; RFC 2827). ARP is answered for the gateway and for the name server. ICMP echo to these two is answered here;
TCP, UDP and echo to the outside go to the parts that hold the host's sockets. Fragments wait until their datagram is complete.
"""

from __future__ import annotations

from slirp_net.device import ETHERNET_AT, PACKET_AT
from slirp_net.reassembly import Reassembly
from slirp_net.wire import arp, ethernet, icmp, ipv4, udp, vnet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from slirp_net.buffers import Slot
    from slirp_net.configuration import Configuration
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
        else:
            self.dropped += 1
        return False

    def send(self, protocol: int, source: bytes, *payload: bytes | memoryview) -> None:
        """Send an IPv4 packet, in fragments if it must be; `payload` is what follows the IP header, with all its checksums."""
        size = sum(map(len, payload))
        if ipv4.LENGTH + size > self.configuration.mtu:
            self._send_fragments(protocol, source, memoryview(b"".join(payload)))
            return
        header = ipv4.header(protocol, source, self.configuration.address, size)
        self._tap.write((vnet.PLAIN, self.ethernet_header, header, *payload))

    def send_udp(self, source: bytes, source_port: int, port: int, payload: memoryview) -> None:
        """Send a datagram of up to 65507 bytes from the port `source_port` of `source` to the container's `port`."""
        address = self.configuration.address
        size = udp.LENGTH + len(payload)
        if ipv4.LENGTH + size > self.configuration.mtu:
            self.send(ipv4.UDP, source, udp.header4(source, address, source_port, port, payload), payload)
            return
        header = udp.partial_header4(source, address, source_port, port, len(payload))
        self._tap.write((_UDP_CHECKSUM, self.ethernet_header, ipv4.header(ipv4.UDP, source, address, size), header, payload))

    def send_error(
        self, code: int, packet: bytes | memoryview, kind: int = icmp.UNREACHABLE, source: bytes | None = None, info: int = 0
    ) -> None:
        """Tell the container by ICMP, from the gateway or from `source`, why `packet` did not arrive (`icmp.error`)."""
        if not _may_be_told_of(packet):
            return
        self.send(ipv4.ICMP, source or self.configuration.gateway, icmp.error(kind, code, packet, info))

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
        elif transport is None:
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
