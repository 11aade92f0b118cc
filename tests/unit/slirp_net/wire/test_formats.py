"""What is emitted is what the RFCs draw, and parsing it gives the fields back; what does not fit is refused."""

import struct

import pytest

from slirp_net.wire import arp, ethernet, icmp, ipv4, tcp, udp, vnet
from slirp_net.wire.checksum import checksum, is_valid, word_sum
from slirp_net.wire.frames import Frame4

CONTAINER = bytes((10, 0, 2, 100))
OUTSIDE = bytes((192, 0, 2, 7))
MAC = ethernet.parse_address("02:00:0a:00:02:64")
GATEWAY_MAC = ethernet.parse_address("02:00:0a:00:02:02")


def slow_sum(data: bytes) -> int:
    """RFC 1071 as it is written: 16-bit words with end-around carry."""
    total = 0
    for (word,) in struct.iter_unpack(">H", data + b"\0" * (len(data) & 1)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"\xff", b"\xff\xff", b"\xff\xff\xff\xff", bytes(range(256)), bytes(range(255)), b"\0\1\xf2\3\xf4\xf5\xf6\xf7"],
)
def test_the_checksum_is_that_of_rfc_1071(data: bytes) -> None:
    assert word_sum(data) % 0xFFFF == slow_sum(data) % 0xFFFF
    assert checksum(data) % 0xFFFF == (~slow_sum(data) & 0xFFFF) % 0xFFFF
    assert is_valid(data + b"\0" * (len(data) & 1) + checksum(data).to_bytes(2, "big"))


def test_the_checksum_is_never_zero_which_means_none_in_udp() -> None:
    assert checksum(b"\xff\xff") == 0xFFFF
    assert checksum(b"") == 0xFFFF


def test_an_ipv4_header_comes_back() -> None:
    header = ipv4.header(ipv4.UDP, OUTSIDE, CONTAINER, 11)
    assert is_valid(header)
    fields = ipv4.parse(memoryview(header + bytes(11 + 6)))  # Ethernet pads
    assert fields == (20, 31, ipv4.UDP, OUTSIDE, CONTAINER, ipv4.TTL, ipv4.DONT_FRAGMENT, 0)


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, 0x65), (0, 0x44), (0, 0x4F), (3, 0xFF), (3, 19), (10, 0x12), (12, 0x99)],
    ids=["version", "short header", "long header", "longer than it is", "shorter than its header", "checksum", "damaged"],
)
def test_a_bad_ipv4_header_is_dropped(at: int, value: int) -> None:
    packet = bytearray(ipv4.header(ipv4.UDP, OUTSIDE, CONTAINER, 8) + bytes(8))
    packet[at] = value
    assert ipv4.parse(memoryview(packet)) is None


def test_a_truncated_packet_is_dropped_at_any_length() -> None:
    packet = memoryview(ipv4.header(ipv4.UDP, OUTSIDE, CONTAINER, 8) + bytes(8))
    assert all(ipv4.parse(packet[:length]) is None for length in range(28))
    assert all(tcp.parse(packet[:length]) is None for length in range(20))
    assert all(udp.parse(packet[:length]) is None for length in range(8))
    assert all(icmp.parse(packet[:length]) is None for length in range(8))
    assert all(arp.parse_request(packet[:length]) is None for length in range(28))


def test_arp_answers_a_request_and_nothing_else() -> None:
    request = bytes.fromhex("0001080006040001") + MAC + CONTAINER + bytes(6) + OUTSIDE
    assert arp.parse_request(memoryview(request)) == (MAC, CONTAINER, OUTSIDE)
    reply = arp.reply(GATEWAY_MAC, OUTSIDE, MAC, CONTAINER)
    assert reply == bytes.fromhex("0001080006040002") + GATEWAY_MAC + OUTSIDE + MAC + CONTAINER
    assert arp.parse_request(memoryview(reply)) is None


def test_icmp_errors_quote_the_beginning_of_the_packet() -> None:
    packet = ipv4.header(ipv4.UDP, CONTAINER, OUTSIDE, 1000) + bytes(range(250)) * 4
    message = icmp.error(icmp.UNREACHABLE, icmp.PORT_UNREACHABLE, packet)
    assert is_valid(message)
    assert message[:2] == bytes((3, 3))
    assert packet.startswith(message[8:])
    assert len(message) + ipv4.LENGTH == 576


def test_an_echo_comes_back() -> None:
    message = icmp.echo(icmp.ECHO_REPLY, 0x1234, 7, b"odd")
    assert icmp.parse(memoryview(message)) == (icmp.ECHO_REPLY, 0, 0x1234, 7)
    assert icmp.parse(memoryview(message[:-1] + b"!")) is None


def test_a_udp_header_comes_back_with_a_valid_checksum() -> None:
    header = udp.header4(OUTSIDE, CONTAINER, 53, 4444, b"odd")
    assert udp.parse(memoryview(header + b"odd")) == (53, 4444, 11, int.from_bytes(header[6:], "big"))
    assert is_valid(header + b"odd", ipv4.pseudo_sum(ipv4.UDP, OUTSIDE, CONTAINER) + 11)


def test_options_come_back() -> None:
    text = tcp.Options(1460, 7, sack_permitted=True).emit()
    assert len(text) % 4 == 0
    found = tcp.parse_options(memoryview(text))
    assert (found.mss, found.shift, found.sack_permitted) == (1460, 7, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", (None, None, False)),
        (b"\2\4\5\xb4", (1460, None, False)),
        (b"\1\1\1\2\4\5\xb4", (1460, None, False)),
        (b"\3\3\xff", (None, 14, False)),  # RFC 7323, 2.3: more than 14 is 14
        (b"\2\4\5\xb4\3\0\4\2", (1460, None, False)),  # a length of 0 ends the list
        (b"\2\4\5\xb4\3\x20", (1460, None, False)),  # longer than the list
        (b"\2", (None, None, False)),
        (b"\2\3\5\0\4\2", (None, None, False)),  # an MSS of one byte is none; what follows is out of step
        (b"\0\2\4\5\xb4", (None, None, False)),  # after the end
        (b"\x08\x0a12345678\4\2", (None, None, True)),  # timestamps are skipped
    ],
)
def test_options_of_any_kind(text: bytes, expected: tuple[int | None, int | None, bool]) -> None:
    found = tcp.parse_options(memoryview(text))
    assert (found.mss, found.shift, found.sack_permitted) == expected


def test_a_sack_option_has_four_blocks_at_most() -> None:
    option = tcp.sack_option([(1, 2), (3, 4), (5, 6), (7, 8), (9, 10)])
    assert option == b"\1\1\5\x22" + b"".join(edge.to_bytes(4, "big") for edge in range(1, 9))


@pytest.mark.parametrize("size", [0, 1, 1460, 1461, 64240])
def test_a_frame_has_valid_headers_and_leaves_the_checksum_to_the_kernel(size: int) -> None:
    frame = Frame4(ethernet.header(MAC, GATEWAY_MAC, ethernet.IPV4), OUTSIDE, CONTAINER, 80, 4444)
    frame.limit(1460, 0)
    headers = b"".join(frame.emit(0xFFFFFFFF, 0, tcp.ACK | tcp.PSH, 512, b"\1\1\1\1", size))
    flags, gso, header_length, gso_size, start, offset = struct.unpack("=BBHHHH", headers[:10])
    assert (flags, start, offset) == (vnet.NEEDS_CSUM, 34, 16)
    assert (gso, gso_size) == ((vnet.GSO_TCPV4, 1460) if size > 1460 else (vnet.GSO_NONE, 0))
    if gso:
        assert header_length >= len(headers) - 10 - 4  # a hint that the kernel only uses to size its buffer
    assert headers[10:24] == MAC + GATEWAY_MAC + ethernet.IPV4
    packet = headers[24:] + bytes(size)
    fields = ipv4.parse(memoryview(packet))
    assert fields is not None
    assert fields[:5] == (20, len(packet), ipv4.TCP, OUTSIDE, CONTAINER)
    assert tcp.parse(memoryview(packet)[20:]) == (80, 4444, 0xFFFFFFFF, 0, tcp.ACK | tcp.PSH, 512, 24, 0)
    pseudo = ipv4.pseudo_sum(ipv4.TCP, OUTSIDE, CONTAINER) + len(packet) - 20
    assert int.from_bytes(packet[36:38], "big") == slow_sum(pseudo.to_bytes(4, "big"))
