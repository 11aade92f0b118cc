"""IPv6, ICMPv6 and neighbour discovery as bytes, well formed and not."""

from _socket import AF_INET6, inet_pton

import pytest

from slirp_net.wire import icmp6, ip, ipv4, ipv6, ndp

A, B = inet_pton(AF_INET6, "fd00::100"), inet_pton(AF_INET6, "2001:db8::1")
PADDED = bytes((ipv4.UDP, 0, 1, 4, 0, 0, 0, 0))  # an extension header of options: six bytes of padding


def parse(packet: bytes) -> object:
    return ipv6.parse(memoryview(packet))


def test_a_packet_is_read_back() -> None:
    packet = ipv6.header(ipv4.UDP, A, B, 4, 7) + b"data" + b"padding"
    assert parse(packet) == (40, 44, ipv4.UDP, A, B, 7, None)
    assert ip.destination_of(packet) == B
    assert ip.time_of(packet) == 7
    assert ip.parse_beginning(packet[:40]) == (40, ipv4.UDP, A, B)
    assert ip.parse_beginning(packet[:39]) is None


@pytest.mark.parametrize("kind", [0, 60])
def test_options_that_may_be_skipped_are(kind: int) -> None:
    assert parse(ipv6.header(kind, A, B, 8) + PADDED) == (48, 48, ipv4.UDP, A, B, 64, None)
    alert = bytes((ipv4.UDP, 0, 5, 2, 0, 0, 1, 0))
    assert parse(ipv6.header(kind, A, B, 8) + alert) == (48, 48, ipv4.UDP, A, B, 64, None)


def test_a_fragment_is_told() -> None:
    packet = ipv6.header(ipv6.FRAGMENT, A, B, 12) + ipv6.fragment_header(ipv4.UDP, 1480, 99, more=True) + b"data"
    assert parse(packet) == (48, 52, ipv4.UDP, A, B, 64, (1481, 99))


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        ipv6.header(ipv4.UDP, A, B, 0)[:39],
        ipv6.header(ipv4.UDP, A, B, 5) + b"data",
        b"\x45" + ipv6.header(ipv4.UDP, A, B, 0)[1:],
        ipv6.header(60, A, B, 4) + PADDED[:4],
        ipv6.header(60, A, B, 8) + bytes((ipv4.UDP, 1)) + PADDED[2:],
        ipv6.header(60, A, B, 8) + bytes((ipv4.UDP, 0, 0x80, 4, 0, 0, 0, 0)),
        ipv6.header(60, A, B, 8) + bytes((ipv4.UDP, 0, 1, 5, 0, 0, 0, 0)),
        ipv6.header(60, A, B, 8) + bytes((ipv4.UDP, 0, 1, 3, 0, 0, 0, 1)),
        ipv6.header(43, A, B, 8) + bytes((ipv4.UDP, 0, 0, 1, 0, 0, 0, 0)),
        ipv6.header(60, A, B, 16) + bytes((0,)) + PADDED[1:] + PADDED,
        ipv6.header(60, A, B, 72) + (bytes((60,)) + PADDED[1:]) * 9,
        ipv6.header(ipv6.FRAGMENT, A, B, 7) + bytes(7),
    ],
    ids=range(13),
)
def test_what_is_malformed_is_none(packet: bytes) -> None:
    assert parse(packet) is None


def test_an_icmp_message_is_read_back_and_its_checksum_counts_the_addresses() -> None:
    message = icmp6.emit(icmp6.ECHO, 0, 0x00010002, b"odd", A, B)
    assert icmp6.parse(memoryview(message), A, B) == (icmp6.ECHO, 0, 0x00010002)
    assert icmp6.parse(memoryview(message), A, A) is None
    assert icmp6.parse(memoryview(message[:7]), A, B) is None
    assert icmp6.is_query(message)
    assert not icmp6.is_query(icmp6.emit(icmp6.UNREACHABLE, 0, 0, b"", A, B))


def test_a_solicitation_is_read() -> None:
    body = B + bytes((1, 1)) + bytes(6)
    message = icmp6.emit(ndp.NEIGHBOUR_SOLICITATION, 0, 0, body, A, B)
    assert ndp.parse_solicitation(memoryview(message)) == B
    for bad in (message[:23], message[:-1], message[:25] + b"\0" + message[26:], message[:8] + b"\xff" + message[9:]):
        assert ndp.parse_solicitation(memoryview(bad)) is None
    assert ndp.options_are_valid(memoryview(b""))
    assert not ndp.options_are_valid(memoryview(b"\1"))


def test_a_router_advertisement_has_whole_options() -> None:
    rest, body = ndp.router_advertisement(bytes(6), 1500, A[:8] + bytes(8), 64, B)
    assert rest & 0xFFFF == 9000
    assert ndp.options_are_valid(memoryview(body)[8:])
    assert B in body
    assert (1500).to_bytes(4, "big") in body
