"""What the stack answers by IPv6: neighbours, routers, echo, fragments and errors."""

from _socket import AF_INET6, inet_pton
from typing import Any

import pytest

from slirp_net import destinations
from slirp_net.buffers import Arena
from slirp_net.configuration import Configuration
from slirp_net.device import PACKET_AT
from slirp_net.host.ping import Pings
from slirp_net.host.udp import Datagrams
from slirp_net.loop import Loop
from slirp_net.stack import Stack
from slirp_net.wire import ethernet, icmp6, ipv4, ipv6, ndp, udp, vnet
from tests.unit.slirp_net.recording import Wire
from tests.unit.slirp_net.test_destinations import FIELDS

NETWORK = {"address": "fd00::100/64", "gateway": "fd00::2", "dns": "fd00::3"}
OWN, GATEWAY, DNS, LINK_LOCAL = (inet_pton(AF_INET6, text) for text in ("fd00::100", "fd00::2", "fd00::3", "fe80::2"))
MINE = inet_pton(AF_INET6, "fe80::64")
NOBODY, NODES = bytes(16), ndp.ALL_NODES


class World:
    """A stack between a recorded wire and sockets that nobody uses."""

    def __init__(self, **changes: Any) -> None:
        self.configuration = Configuration({**FIELDS, "ipv6": NETWORK, **changes})
        self.wire: Any = Wire()
        self.arena = Arena(4)
        loop = Loop()
        self.stack = Stack(self.configuration, self.wire, loop)
        Pings(self.stack, loop, Datagrams(self.stack, loop, self.arena))

    def answers(self, packet: bytes) -> list[tuple[int, bytes, bytes, int, bytes]]:
        """Send a packet; returns protocol, source, destination, hop limit and payload of each one that comes back."""
        frame = vnet.PLAIN + ethernet.header(self.configuration.gateway_mac, self.configuration.mac, ethernet.IPV6) + packet
        slot = self.arena.take()
        assert slot is not None
        slot.view[: len(frame)] = frame
        self.wire.frames.clear()
        assert not self.stack.on_frame(slot, len(frame))
        self.arena.give(slot)
        found = []
        for sent in self.wire.frames:
            fields = ipv6.parse(memoryview(sent)[PACKET_AT:])
            assert fields is not None
            at, total, protocol, source, destination, hops, _fragment = fields
            found.append((protocol, source, destination, hops, bytes(sent[PACKET_AT + at : PACKET_AT + total])))
        return found

    def asks(self, source: bytes, destination: bytes, kind: int, body: bytes = b"", rest: int = 0, hops: int = 255) -> Any:
        message = icmp6.emit(kind, 0, rest, body, source, destination)
        found = self.answers(ipv6.header(ipv6.ICMP, source, destination, len(message), hops) + message)
        for _protocol, sender, asker, _hops, answer in found:
            assert icmp6.parse(memoryview(answer), sender, asker) is not None
        return found


@pytest.mark.parametrize("target", [GATEWAY, DNS, LINK_LOCAL])
@pytest.mark.parametrize("source", [OWN, MINE])
def test_neighbours_are_told_of_the_stacks_addresses(target: bytes, source: bytes) -> None:
    [(_, sender, asker, hops, answer)] = World().asks(source, target, ndp.NEIGHBOUR_SOLICITATION, target)
    assert (sender, asker, hops) == (target, source, 255)
    assert answer[0] == ndp.NEIGHBOUR_ADVERTISEMENT
    assert answer[4] == 0xE0  # router, solicited, override
    assert answer[8:] == target + b"\2\1" + bytes.fromhex("02000a000202")


def test_who_has_no_address_yet_is_told_with_all_others() -> None:
    [(_, sender, asker, _hops, answer)] = World().asks(NOBODY, NODES, ndp.NEIGHBOUR_SOLICITATION, GATEWAY)
    assert (sender, asker, answer[4]) == (GATEWAY, NODES, 0xA0)


def test_solicitations_for_others_from_afar_or_malformed_are_not_answered() -> None:
    world = World()
    assert world.asks(OWN, NODES, ndp.NEIGHBOUR_SOLICITATION, OWN) == []
    assert world.asks(OWN, GATEWAY, ndp.NEIGHBOUR_SOLICITATION, GATEWAY, hops=254) == []
    assert world.asks(OWN, GATEWAY, ndp.NEIGHBOUR_SOLICITATION, GATEWAY[:8]) == []
    assert world.asks(inet_pton(AF_INET6, "fd00::101"), GATEWAY, ndp.NEIGHBOUR_SOLICITATION, GATEWAY) == []


def test_a_router_is_advertised_from_its_link_local_address() -> None:
    [(_, sender, asker, hops, answer)] = World().asks(MINE, NODES, ndp.ROUTER_SOLICITATION)
    assert (sender, asker, hops, answer[0]) == (LINK_LOCAL, MINE, 255, ndp.ROUTER_ADVERTISEMENT)


def test_echo_is_answered_by_the_gateway_and_the_name_server() -> None:
    for own in (GATEWAY, DNS, LINK_LOCAL):
        [(_, sender, asker, _hops, answer)] = World().asks(OWN, own, icmp6.ECHO, b"data", 0x10002, hops=1)
        assert (sender, asker) == (own, OWN)
        assert answer[0] == icmp6.ECHO_REPLY
        assert answer[4:] == b"\0\1\0\2data"


def test_an_echo_from_nobody_is_answered_to_nobody() -> None:
    assert World().asks(NOBODY, GATEWAY, icmp6.ECHO) == []


def test_echo_larger_than_the_mtu_goes_and_comes_in_fragments() -> None:
    world = World(mtu=1280)
    message = icmp6.emit(icmp6.ECHO, 0, 1, bytes(range(256)) * 8, OWN, GATEWAY)
    answers = []
    for start, stop in ((1024, len(message)), (0, 1024)):
        head = ipv6.header(ipv6.FRAGMENT, OWN, GATEWAY, 8 + stop - start)
        answers = world.answers(head + ipv6.fragment_header(ipv6.ICMP, start, 7, more=stop < len(message)) + message[start:stop])
    assert len(answers) == 2
    whole = b"".join(answer[4] for answer in answers)
    assert icmp6.parse(memoryview(whole), GATEWAY, OWN) == (icmp6.ECHO_REPLY, 0, 1)
    assert whole[8:] == message[8:]


def test_an_atomic_fragment_is_a_packet() -> None:
    message = icmp6.emit(icmp6.ECHO, 0, 1, b"", OWN, GATEWAY)
    head = ipv6.header(ipv6.FRAGMENT, OWN, GATEWAY, 8 + len(message)) + ipv6.fragment_header(ipv6.ICMP, 0, 7, more=False)
    assert len(World().answers(head + message)) == 1


def error(destination: str, protocol: int = ipv4.UDP, hops: int = 64) -> tuple[int, int] | None:
    """Return type and code of the error that a datagram to a destination meets."""
    target = inet_pton(AF_INET6, destination)
    datagram = udp.header4(OWN, target, 1, 2, b"data") + b"data"
    packet = ipv6.header(protocol, OWN, target, len(datagram), hops) + datagram
    answers = World().answers(packet)
    if not answers:
        return None
    [(_, _sender, asker, _hops, answer)] = answers
    assert asker == OWN
    assert answer[8:] == packet
    return answer[0], answer[1]


def test_why_a_packet_did_not_arrive_is_told() -> None:
    assert error("fd00::3") == (icmp6.UNREACHABLE, icmp6.PORT_UNREACHABLE)
    assert error("fd00::77") == (icmp6.UNREACHABLE, icmp6.ADDRESS_UNREACHABLE)
    assert error("2001:db8::1", hops=1) == (icmp6.TIME_EXCEEDED, 0)
    assert error("2001:db8::1", 132) == (icmp6.PARAMETER_PROBLEM, icmp6.UNKNOWN_NEXT_HEADER)
    assert error("2001:db8::1", 59) is None
    assert error("ff02::fb", hops=1) is None
    assert error("::1") is None


def test_a_datagram_without_checksum_is_dropped() -> None:
    datagram = bytes((0, 1, 0, 2, 0, 8, 0, 0))
    assert World().answers(ipv6.header(ipv4.UDP, OWN, DNS, 8) + datagram) == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("fd00::2", "::1"),
        ("fe80::2", "::1"),
        ("fd00::3", destinations.REFUSED),
        ("fd00::77", destinations.NO_HOST),
        ("fd00:0:0:1::1", "fd00:0:0:1::1"),
        ("2001:db8::5", "2001:db8::5"),
        ("::", destinations.SILENCE),
        ("::1", destinations.SILENCE),
        ("::ffff:127.0.0.1", destinations.SILENCE),
        ("fe80::1", destinations.SILENCE),
        ("fec0::1", destinations.SILENCE),
        ("ff02::1", destinations.SILENCE),
    ],
)
def test_a_destination_stands_for_what_the_table_says(address: str, expected: str) -> None:
    configuration = Configuration({**FIELDS, "ipv6": NETWORK})
    assert destinations.resolve(configuration, inet_pton(AF_INET6, address)) == expected


def test_nothing_is_answered_without_ipv6() -> None:
    world = World(ipv6=None)
    assert world.asks(OWN, GATEWAY, icmp6.ECHO) == []
    with pytest.raises(ValueError, match="MTU is too small for IPv6"):
        World(mtu=1279)
