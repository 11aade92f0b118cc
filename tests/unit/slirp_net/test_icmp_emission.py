"""Which packets an error may be sent about, and from whom it comes (RFC 1122, 3.2.2; RFC 1812, 4.3.2.7)."""

from _socket import inet_aton
from typing import Any

import pytest

from slirp_net.buffers import Arena
from slirp_net.configuration import Configuration
from slirp_net.device import PACKET_AT
from slirp_net.loop import Loop
from slirp_net.stack import Stack
from slirp_net.wire import ethernet, icmp, ipv4, vnet
from slirp_net.wire.checksum import checksum
from tests.unit.slirp_net.recording import Wire
from tests.unit.slirp_net.test_destinations import FIELDS

_CONTAINER = inet_aton("10.0.2.100")
_SCTP = 132


def told(
    destination: str, protocol: int, payload: bytes = b"\0" * 8, *, ttl: int = 64, offset: int = 0
) -> tuple[str, int, int] | None:
    """Return (sender, type, code) of the error that a packet to `destination` meets, or None."""
    wire: Any = Wire()
    configuration = Configuration(FIELDS)
    stack = Stack(configuration, wire, Loop())
    header = bytearray(ipv4.header(protocol, _CONTAINER, inet_aton(destination), len(payload), offset))
    header[8] = ttl
    header[10:12] = b"\0\0"
    header[10:12] = checksum(header).to_bytes(2, "big")
    frame = vnet.PLAIN + ethernet.header(configuration.gateway_mac, configuration.mac, ethernet.IPV4) + header + payload
    slot = Arena(1).take()
    assert slot is not None
    slot.view[: len(frame)] = frame
    assert not stack.on_frame(slot, len(frame))
    if not wire.frames:
        return None
    packet = memoryview(wire.frames[0])[PACKET_AT:]
    fields = ipv4.parse(packet)
    assert fields is not None
    message = icmp.parse(packet[fields[0] :])
    assert message is not None
    assert packet[fields[0] + icmp.LENGTH :] == bytes(header) + payload
    return ".".join(map(str, fields[3])), message[0], message[1]


ECHO = icmp.echo(icmp.ECHO, 1, 1, b"")


@pytest.mark.parametrize("protocol", [ipv4.TCP, ipv4.UDP, _SCTP])
def test_a_packet_ends_at_the_gateway_when_its_time_is_over(protocol: int) -> None:
    assert told("192.0.2.1", protocol, ttl=1) == ("10.0.2.2", icmp.TIME_EXCEEDED, 0)
    assert told("192.0.2.1", protocol, ttl=0) == ("10.0.2.2", icmp.TIME_EXCEEDED, 0)


def test_a_ping_does_too_but_no_error() -> None:
    assert told("192.0.2.1", ipv4.ICMP, ECHO, ttl=1) == ("10.0.2.2", icmp.TIME_EXCEEDED, 0)
    assert told("192.0.2.1", ipv4.ICMP, icmp.error(icmp.UNREACHABLE, 3, ECHO), ttl=1) is None


def test_what_goes_to_many_is_no_reason_for_an_error() -> None:
    """Multicast DNS and SSDP have short times to live."""
    assert told("224.0.0.251", ipv4.UDP, ttl=1) is None
    assert told("255.255.255.255", ipv4.UDP, ttl=1) is None
    assert told("224.0.0.22", 2, ttl=1) is None  # IGMP


def test_only_a_first_fragment_is_a_reason_for_an_error() -> None:
    assert told("192.0.2.1", ipv4.UDP, ttl=1, offset=ipv4.MORE_FRAGMENTS) == ("10.0.2.2", icmp.TIME_EXCEEDED, 0)
    assert told("192.0.2.1", ipv4.UDP, ttl=1, offset=1) is None


def test_a_protocol_that_nobody_carries_is_told() -> None:
    assert told("192.0.2.1", _SCTP) == ("10.0.2.2", icmp.UNREACHABLE, icmp.PROTOCOL_UNREACHABLE)
    assert told("10.0.2.2", _SCTP) == ("10.0.2.2", icmp.UNREACHABLE, icmp.PROTOCOL_UNREACHABLE)
    assert told("239.1.2.3", _SCTP) is None
