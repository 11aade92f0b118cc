"""Every parser of slirp_net under any bytes: it returns what it says, and what it finds lies within what it was given."""

from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slirp_net.configuration import Configuration
from slirp_net.json_packets import emit_object, parse_object
from slirp_net.wire import arp, checksum, ethernet, icmp, ipv4, tcp, udp
from tests.support.fuzzing import fuzz

A, B = bytes((10, 0, 2, 100)), bytes((192, 0, 2, 1))
FIELDS = {
    "address": "10.0.2.100/24", "gateway": "10.0.2.2", "dns": "10.0.2.3", "mtu": 1500, "mac": "02:00:0a:00:02:64",
    "gateway_mac": "02:00:0a:00:02:02", "names": {"host.internal": "10.0.2.2"},
}  # fmt: skip
SYN = bytes.fromhex("1388 0050 00000007 00000000 a0 02 ffff 0000 0000 020405b4 0402 080a 00000001 00000000 0103 0307")
VALID = [
    SYN,
    ipv4.header(ipv4.TCP, A, B, len(SYN)) + SYN,
    arp.reply(b"123456", A, b"abcdef", B),
    icmp.echo(icmp.ECHO, 7, 1, b"x" * 20),
    udp.header4(A, B, 5000, 53, b"abc") + b"abc",
    tcp.timestamps_option(5, 6) + tcp.sack_option([(1, 2), (3, 4)]),
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Something valid, with a few bytes changed and the end cut off."""
    text = bytearray(draw(st.sampled_from(VALID)))
    for at, value in draw(st.lists(st.tuples(st.integers(0, len(text) - 1), st.integers(0, 255)), max_size=4)):
        text[at] = value
    return bytes(text[: draw(st.integers(0, len(text)))])


packets = st.one_of(st.binary(max_size=100), mutated())


def test_any_packet() -> None:
    @given(packets)
    def run(packet: bytes) -> None:
        view = memoryview(packet)
        if (fields := ipv4.parse(view)) is not None:
            assert ipv4.LENGTH <= fields[0] <= fields[1] <= len(packet)
        if (segment := tcp.parse(view)) is not None:
            assert tcp.LENGTH <= segment[6] <= len(packet)
        if (datagram := udp.parse(view)) is not None:
            assert udp.LENGTH <= datagram[2] <= len(packet)
        if (message := icmp.parse(view)) is not None:
            assert message == icmp.parse_header(view)
            assert checksum.is_valid(view)
        if (request := arp.parse_request(view)) is not None:
            assert [len(part) for part in request] == [6, 4, 4]
        ipv4.parse_beginning(view)
        icmp.is_query(view)

    fuzz(run)


def test_any_options() -> None:
    @given(packets)
    def run(text: bytes) -> None:
        options = tcp.parse_options(memoryview(text))
        assert options.shift is None or options.shift <= 14
        assert len(options.emit()) % 4 == 0
        times, blocks = tcp.parse_later_options(memoryview(text))
        assert times is None or all(0 <= number <= 0xFFFFFFFF for number in times)
        assert 8 * len(blocks) <= len(text)

    fuzz(run)


def test_options_come_back_as_they_were() -> None:
    numbers = st.integers(0, 0xFFFFFFFF)
    pairs = st.tuples(numbers, numbers)

    @given(st.none() | st.integers(0, 0xFFFF), st.none() | st.integers(0, 14), st.booleans(), st.none() | pairs, st.lists(pairs))
    def run(mss: int | None, shift: int | None, sack: bool, times: tuple[int, int] | None, blocks: list[tuple[int, int]]) -> None:
        found = tcp.parse_options(memoryview(tcp.Options(mss, shift, sack_permitted=sack, times=times).emit()))
        assert (found.mss, found.shift, found.sack_permitted, found.times) == (mss, shift, sack, times)
        text = tcp.timestamps_option(*times) if times is not None else b""
        text += tcp.sack_option(blocks, len(text))
        assert len(text) <= 40
        assert tcp.parse_later_options(memoryview(text)) == (times, blocks[: 4 if times is None else 3])

    fuzz(run)


def test_any_request_of_the_engine() -> None:
    odd: list[Any] = [*FIELDS.values(), "10.0.2.0/99", "::1", "02:00", -1, None, [], [1], {"a": 1}, {"a": None}, "\0", "\u00b2"]
    texts = st.text(max_size=20) | st.sampled_from(odd)

    @given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), st.dictionaries(st.sampled_from(list(FIELDS)), texts))
    def run(packet: bytes, changes: dict[str, Any]) -> None:
        with suppress(ValueError):
            parse_object(packet)
        fields = {**FIELDS, **changes}
        with suppress(ValueError, OSError, TypeError):  # what `control` answers
            configuration = Configuration(fields)
            assert 576 <= configuration.mtu <= 65535
            assert [len(part) for part in (configuration.address, configuration.dns, configuration.mac)] == [4, 4, 6]

    fuzz(run)


def test_objects_come_back_as_they_were() -> None:
    values = st.recursive(st.text() | st.integers() | st.booleans(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=10)

    @given(st.dictionaries(st.text(), values))
    def run(fields: dict[str, Any]) -> None:
        assert parse_object(emit_object(fields)) == fields

    fuzz(run)


def test_any_name_of_a_machine() -> None:
    @given(st.text(max_size=20))
    def run(text: str) -> None:
        with suppress(ValueError):
            assert len(ethernet.parse_address(text)) == 6

    fuzz(run)
