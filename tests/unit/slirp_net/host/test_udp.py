"""When flows of datagrams end, with real sockets of the loopback and a clock that the test moves."""

from _socket import inet_aton
from collections.abc import Iterator
from socket import AF_INET, SOCK_DGRAM, socket
from typing import Any

import pytest

from slirp_net.buffers import Arena
from slirp_net.configuration import Configuration
from slirp_net.host.udp import Datagrams
from slirp_net.loop import Loop
from slirp_net.stack import Stack
from slirp_net.wire import ipv4, udp
from tests.unit.slirp_net.recording import Wire
from tests.unit.slirp_net.test_destinations import FIELDS

_CONTAINER, _GATEWAY = inet_aton("10.0.2.100"), inet_aton("10.0.2.2")


class World:
    """The flows of a container, and a server on the loopback."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.loop = Loop(lambda: self.time)
        self.wire: Any = Wire()
        self.datagrams = Datagrams(Stack(Configuration(FIELDS), self.wire, self.loop), self.loop, Arena(4))
        self.server = socket(AF_INET, SOCK_DGRAM)
        self.server.bind(("127.0.0.1", 0))
        self.server.settimeout(5)

    def send(self, port: int, payload: bytes = b"data") -> None:
        datagram = udp.header4(_CONTAINER, _GATEWAY, 5000, port, payload) + payload
        packet = memoryview(ipv4.header(ipv4.UDP, _CONTAINER, _GATEWAY, len(datagram)) + datagram)
        self.datagrams.on_packet(_CONTAINER, _GATEWAY, packet, packet[ipv4.LENGTH :], None, False)

    def after(self, seconds: float) -> int:
        """Let so many seconds pass and return how many flows there are then."""
        self.time += seconds
        self.loop.round(0)
        return len(self.datagrams)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.server.close()
    made.after(1000)
    assert len(made.datagrams) == 0


def test_a_flow_lives_for_two_minutes_after_the_last_datagram(world: World) -> None:
    """RFC 4787, REQ-5 and REQ-6."""
    port = world.server.getsockname()[1]
    world.send(port)
    assert world.after(119) == 1
    world.send(port)
    assert world.after(119) == 1
    assert world.after(2) == 0


def test_an_answer_extends_it(world: World) -> None:
    world.send(world.server.getsockname()[1])
    _data, client = world.server.recvfrom(100)
    assert world.after(100) == 1
    world.server.sendto(b"answer", client)
    assert world.after(1) == 1
    assert world.wire.frames[-1].endswith(b"answer")
    assert world.after(100) == 1
    assert world.after(30) == 0


def test_a_question_to_a_name_server_ends_sooner(world: World) -> None:
    world.send(53)
    assert world.after(0) == 1
    assert world.after(21) == 0


def test_there_is_a_most_of_them(world: World) -> None:
    """The one that was not used for longest makes room."""
    for port in range(20000, 21100):
        world.send(port)
    assert world.after(0) == 1024
