"""A TCP segment with all that goes before it on the device: virtio, Ethernet, IPv4 and TCP headers in one go.

This is where a flow's time goes when it is busy, so everything that never changes about a flow is computed once.
"""

from __future__ import annotations

from struct import Struct

from slirp_net.wire import ethernet, ipv4, ipv6, tcp, vnet
from slirp_net.wire.checksum import MODULUS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# Ethernet header; the ten fields of IPv4; the nine of TCP.
_FRAME4 = Struct(">14sBBHHHBBH4s4sHHLLBBHHH")
_CSUM_START: Final = ethernet.LENGTH + ipv4.LENGTH
# Ethernet header; the six fields of IPv6; the nine of TCP.
_FRAME6 = Struct(">14sLHBB16s16sHHLLBBHHH")
_CSUM_START6: Final = ethernet.LENGTH + ipv6.LENGTH
_VERSION_6: Final = 6 << 28


class Frame4:
    """Emits the headers of one flow's TCP segments over IPv4 and Ethernet: everything that never changes is kept here.

    No sum over the payload is ever computed: the checksum field carries the pseudo-header's, as NEEDS_CSUM wants.
    """

    LARGEST: Final = ipv4.MAX_TOTAL - ipv4.LENGTH - tcp.LENGTH - tcp.TIMESTAMPS_LENGTH  # payload of a super-segment, in bytes

    __slots__ = ("_data", "_destination", "_ethernet", "_ip_sum", "_plain", "_ports", "_pseudo", "_source", "_super", "mss")

    def __init__(self, ethernet_header: bytes, source: bytes, destination: bytes, source_port: int, destination_port: int) -> None:
        self._ethernet = ethernet_header
        self._source = source
        self._destination = destination
        self._ports = (source_port, destination_port)
        self._pseudo = ipv4.pseudo_sum(ipv4.TCP, source, destination)
        self._ip_sum = self._pseudo + 0x4500 + ipv4.DONT_FRAGMENT + (ipv4.TTL << 8)
        self._plain = vnet.partial_checksum(_CSUM_START + tcp.LENGTH, _CSUM_START, tcp.CHECKSUM_OFFSET)
        self._data = self._plain
        self._super = self._plain
        self.mss = ipv4.MAX_TOTAL

    def limit(self, mss: int, options: int) -> None:
        """Set the payload bytes of one segment, at most; what is larger goes as a super-segment of that size.

        `options` is how many bytes of options segments with data have.
        """
        self.mss = mss
        length = _CSUM_START + tcp.LENGTH + options
        # The kernel refuses a frame shorter than its header is said to be, so what may have no options has another one.
        self._data = vnet.partial_checksum(length, _CSUM_START, tcp.CHECKSUM_OFFSET)
        self._super = vnet.super_segment(vnet.GSO_TCPV4, length, mss, _CSUM_START, tcp.CHECKSUM_OFFSET)

    def emit(
        self, sequence: int, acknowledgement: int, flags: int, window: int, options: bytes, payload_length: int
    ) -> tuple[bytes, bytes]:
        """Return the vnet header and the frame's headers; the payload, of at most 64 KiB, follows them.

        With URG the payload's last byte is the urgent one.
        """
        tcp_length = tcp.LENGTH + len(options) + payload_length
        total = ipv4.LENGTH + tcp_length
        source_port, destination_port = self._ports
        headers = _FRAME4.pack(
            self._ethernet, 0x45, 0, total, 0, ipv4.DONT_FRAGMENT, ipv4.TTL, ipv4.TCP, MODULUS - (self._ip_sum + total) % MODULUS,
            self._source, self._destination, source_port, destination_port,
            sequence, acknowledgement, (tcp.LENGTH + len(options)) << 2,
            flags, window, (self._pseudo + tcp_length) % MODULUS, payload_length if flags & tcp.URG else 0,
        )  # fmt: skip
        if options:
            headers += options
        if payload_length:
            return (self._super if payload_length > self.mss else self._data), headers
        return self._plain, headers


class Frame6:
    """The same over IPv6."""

    # The kernel's own limit for a super-segment counts the IPv6 header, unlike the header's field.
    LARGEST: Final = ipv4.MAX_TOTAL - ipv6.LENGTH - tcp.LENGTH - tcp.TIMESTAMPS_LENGTH

    __slots__ = ("_data", "_destination", "_ethernet", "_plain", "_ports", "_pseudo", "_source", "_super", "mss")

    def __init__(self, ethernet_header: bytes, source: bytes, destination: bytes, source_port: int, destination_port: int) -> None:
        self._ethernet = ethernet_header
        self._source = source
        self._destination = destination
        self._ports = (source_port, destination_port)
        self._pseudo = ipv4.pseudo_sum(ipv4.TCP, source, destination)
        self._plain = vnet.partial_checksum(_CSUM_START6 + tcp.LENGTH, _CSUM_START6, tcp.CHECKSUM_OFFSET)
        self._data = self._plain
        self._super = self._plain
        self.mss = ipv4.MAX_TOTAL

    def limit(self, mss: int, options: int) -> None:
        """See `Frame4.limit`."""
        self.mss = mss
        length = _CSUM_START6 + tcp.LENGTH + options
        self._data = vnet.partial_checksum(length, _CSUM_START6, tcp.CHECKSUM_OFFSET)
        self._super = vnet.super_segment(vnet.GSO_TCPV6, length, mss, _CSUM_START6, tcp.CHECKSUM_OFFSET)

    def emit(
        self, sequence: int, acknowledgement: int, flags: int, window: int, options: bytes, payload_length: int
    ) -> tuple[bytes, bytes]:
        """See `Frame4.emit`."""
        tcp_length = tcp.LENGTH + len(options) + payload_length
        source_port, destination_port = self._ports
        headers = _FRAME6.pack(
            self._ethernet, _VERSION_6, tcp_length, ipv4.TCP, ipv6.HOP_LIMIT, self._source, self._destination,
            source_port, destination_port, sequence, acknowledgement, (tcp.LENGTH + len(options)) << 2,
            flags, window, (self._pseudo + tcp_length) % MODULUS, payload_length if flags & tcp.URG else 0,
        )  # fmt: skip
        if options:
            headers += options
        if payload_length:
            return (self._super if payload_length > self.mss else self._data), headers
        return self._plain, headers
