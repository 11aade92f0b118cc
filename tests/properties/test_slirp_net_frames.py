"""The whole stack under whatever a container may send: nothing breaks it or goes astray, and everything is given back.

It runs in a network namespace of its own, where only the loopback device is up, so that no address it is made to try is anybody's.
"""

import os
import random
import struct
from _socket import SO_LINGER, SO_RCVBUF, SOL_SOCKET
from collections.abc import Callable
from socket import SOCK_CLOEXEC, SOCK_STREAM, inet_aton, socket
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rootless.linux.interfaces import Interfaces
from rootless.linux.namespaces import unshare
from slirp_net.buffers import Arena
from slirp_net.configuration import Configuration
from slirp_net.device import PACKET_AT
from slirp_net.host import dns_exchange as dns_host
from slirp_net.host import opening as tcp_host
from slirp_net.host import ping as ping_host
from slirp_net.host import udp as udp_host
from slirp_net.host.dns import PORT, Forwarder
from slirp_net.host.dns_stream import StreamService
from slirp_net.host.names import FixedNames
from slirp_net.host.ping import Pings
from slirp_net.host.resolv_conf import NameServers
from slirp_net.host.tcp import Flows
from slirp_net.host.udp import Datagrams
from slirp_net.loop import Loop
from slirp_net.stack import Stack
from slirp_net.wire import checksum, ethernet, icmp, ipv4, tcp, udp, vnet
from tests.integration.slirp_net.container import become_unprivileged
from tests.support.fuzzing import fuzz

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_ADDRESS, _GATEWAY, _DNS = (inet_aton(text) for text in ("10.0.2.100", "10.0.2.2", "10.0.2.3"))
_MAC, _GATEWAY_MAC = bytes.fromhex("02000a000264"), bytes.fromhex("02000a000202")
_FORBIDDEN = ("0.", "127.", "169.254.", *(f"{first}." for first in range(224, 256)))


class Wire:
    """Stands for the tap: checks what is sent to the container and remembers where each TCP flow is."""

    def __init__(self) -> None:
        self.asked = {_GATEWAY, _DNS}
        self.numbers: dict[bytes, tuple[int, int]] = {}  # by ports: what the container may acknowledge, and what it sends next

    def write(self, parts: tuple[bytes | memoryview, ...]) -> None:
        frame = b"".join(parts)[vnet.LENGTH :]
        assert frame[:6] in (_MAC, ethernet.BROADCAST), frame[:6]
        assert frame[6:12] == _GATEWAY_MAC
        if frame[12:14] == ethernet.ARP:
            return
        packet = memoryview(frame)[ethernet.LENGTH :]
        fields = ipv4.parse(packet)
        assert fields is not None
        length, total, protocol, source, destination, *_ = fields
        assert total == len(packet)
        assert destination == _ADDRESS
        assert source in self.asked
        if protocol == ipv4.TCP:
            segment = packet[length:]
            parsed = tcp.parse(segment)
            assert parsed is not None
            remote, local, sequence, acknowledgement, flags, _window, header, _urgent = parsed
            taken = len(segment) - header + bool(flags & tcp.SYN) + bool(flags & tcp.FIN)
            self.numbers[source + struct.pack(">HH", local, remote)] = ((sequence + taken) & 0xFFFFFFFF, acknowledgement)
        elif protocol == ipv4.ICMP:
            assert icmp.parse(packet[length:]) is not None


class World:
    """A stack, a container that is played by the test, and a server on the loopback device."""

    def __init__(self, *, allow_host_loopback: bool) -> None:
        self.time = 1000.0
        self.wire = Wire()
        self.loop = Loop(lambda: self.time)
        self.arena = Arena()
        fields = {
            "address": "10.0.2.100/24", "gateway": "10.0.2.2", "dns": "10.0.2.3", "mtu": 1500, "mac": "02:00:0a:00:02:64",
            "gateway_mac": "02:00:0a:00:02:02", "allow_host_loopback": allow_host_loopback, "names": {"host.internal": "10.0.2.2"},
        }  # fmt: skip
        configuration = Configuration(fields)
        tap: Any = self.wire
        self.stack = Stack(configuration, tap, self.loop)
        self.flows = Flows(self.stack, tap, self.loop, self.arena, 64)
        self.datagrams = Datagrams(self.stack, self.loop, self.arena)
        self.forwarder = Forwarder(self.loop, NameServers(os.devnull), [FixedNames(configuration.names)])
        self.datagrams.services[configuration.dns, PORT] = self.forwarder
        self.streams = StreamService(self.forwarder)
        self.flows.services[configuration.dns, PORT] = self.streams
        self.pings = Pings(self.stack, self.loop, self.datagrams)
        self.server = socket(type=SOCK_STREAM | SOCK_CLOEXEC)
        self.server.bind(("127.0.0.1", 0))
        self.server.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)  # so that it does not take everything
        self.server.listen(64)
        self.server.setblocking(False)
        self.port = self.server.getsockname()[1]
        self.accepted: list[socket] = []

    def frame(self, packet: bytes, flags: int = vnet.NEEDS_CSUM, head: bytes | None = None) -> None:
        slot = self.arena.take()
        if slot is None:
            return
        head = ethernet.header(_GATEWAY_MAC, _MAC, ethernet.IPV4) if head is None else head
        frame = (bytes((flags,)) + bytes(vnet.LENGTH - 1) + head + packet)[: len(slot.view)]
        slot.view[: len(frame)] = frame
        if len(packet) >= ipv4.LENGTH:
            self.wire.asked.add(packet[16:20])
        if not self.stack.on_frame(slot, len(frame)):
            self.arena.give(slot)

    def rounds(self) -> None:
        for _ in range(3):
            self.loop.round(0)
        try:
            while True:
                self.accepted.append(self.server.accept()[0])
                self.accepted[-1].setblocking(False)
        except BlockingIOError:
            pass

    def end(self) -> None:
        """End everything as time does, and see that nothing is left."""
        for sock in self.accepted:
            sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        self.server.close()
        for _ in range(400):
            self.time += 30
            self.loop.round(0)
        assert len(self.flows) == 0
        assert len(self.datagrams) == 0
        assert not self.pings.pings
        assert len(self.forwarder) == 0
        assert not self.streams.connections
        assert self.arena.used == 0
        assert self.arena.copied == 0


addresses = st.one_of(
    st.sampled_from([_GATEWAY, _DNS, *map(inet_aton, ("10.0.2.9", "127.0.0.1", "169.254.169.254", "192.0.2.7"))]),
    st.binary(min_size=4, max_size=4),
)
far = st.sampled_from([-(1 << 31), 1 << 20, (1 << 20) + 1, 1 << 31, 100_000])
offsets = st.one_of(st.just(0), st.just(0), st.integers(-3, 3), far)
segment_flags = st.one_of(
    st.sampled_from([tcp.SYN, tcp.ACK, tcp.ACK | tcp.FIN, tcp.RST, tcp.ACK | tcp.PSH, tcp.SYN | tcp.ACK, tcp.RST | tcp.ACK]),
    st.integers(0, 255),
)
tcp_steps = st.tuples(
    st.just("tcp"), st.integers(1, 4), segment_flags, offsets, offsets, st.sampled_from([0, 1, 100, 65535]),
    st.sampled_from([0, 1, 10, 1400, 60000]),
)  # fmt: skip
protocols = st.sampled_from([ipv4.ICMP, ipv4.TCP, ipv4.UDP])
steps = st.one_of(
    tcp_steps,
    tcp_steps,
    st.tuples(st.just("open"), st.integers(1, 4)),
    st.tuples(st.just("more"), st.integers(1, 4), st.sampled_from([1, 1400, 60000]), st.integers(1, 30)),
    st.tuples(st.just("gap"), st.integers(1, 4), st.sampled_from([1, 1400]), st.integers(0, 1000)),
    st.tuples(st.just("fail"), st.integers(1, 4), st.integers(0, 3)),
    st.tuples(st.just("round")),
    st.tuples(st.just("round")),
    st.tuples(st.just("later"), st.sampled_from([0.1, 1.0, 20.0, 200.0])),
    st.tuples(st.just("host"), st.sampled_from(["send", "receive", "end", "reset"]), st.integers(0, 3)),
    st.tuples(st.just("udp"), addresses, st.sampled_from([53, 9, 0, 40000]), st.binary(max_size=60)),
    st.tuples(st.just("icmp"), addresses, st.binary(max_size=60)),
    st.tuples(st.just("refuse"), addresses, st.sampled_from([53, 9, 40000]), st.integers(0, 3), st.integers(0, 40)),
    st.tuples(st.just("fragment"), addresses, st.integers(0, 0xFFFF), st.integers(0, 2), protocols, st.binary(max_size=48)),
    st.tuples(st.just("packet"), st.integers(0, 255), addresses, st.integers(0, 255), st.binary(max_size=80)),
    st.tuples(st.just("raw"), st.binary(max_size=120), st.binary(max_size=14)),
)


def perform(world: World, step: tuple[Any, ...]) -> None:
    _STEPS[step[0]](world, *step[1:])


def pass_time(world: World, seconds: float) -> None:
    world.time += seconds
    world.rounds()


def open_connection(world: World, port: int) -> None:
    for flags in (tcp.SYN, tcp.ACK):
        send_segment(world, port, flags, 0, 0, 65535, 0)
        world.rounds()


def send_more(world: World, port: int, size: int, count: int) -> None:
    for number in range(count):
        send_segment(world, port, tcp.ACK, number * size, 0, 65535, size)


def send_with_gaps(world: World, port: int, size: int, seed: int) -> None:
    chance = random.Random(seed)
    for ahead in chance.sample(range(0, 10 * size, size), 10):
        send_segment(world, port, tcp.ACK, ahead, 0, 65535, chance.choice([size, 2 * size]))
    world.rounds()


def end_what_has_failed(world: World, port: int, number: int) -> None:
    act_outside(world, "reset", number)
    send_segment(world, port, tcp.ACK | tcp.FIN, 0, 0, 65535, 100)


def send_datagram(world: World, destination: bytes, port: int, payload: bytes) -> None:
    head = udp.header4(_ADDRESS, destination, 5000, port, payload)
    send_packet(world, ipv4.UDP, destination, 0, head + payload)


def send_ping(world: World, destination: bytes, payload: bytes) -> None:
    send_packet(world, ipv4.ICMP, destination, 0, icmp.echo(icmp.ECHO, 7, 1, payload))


def refuse_datagram(world: World, source: bytes, port: int, code: int, quoted: int) -> None:
    """Tell by ICMP that a datagram of the outside did not arrive, quoting so many bytes of it."""
    datagram = udp.header4(source, _ADDRESS, port, 5000, b"data") + b"data"
    packet = ipv4.header(ipv4.UDP, source, _ADDRESS, len(datagram)) + datagram
    send_packet(world, ipv4.ICMP, _GATEWAY, 0, icmp.error(icmp.UNREACHABLE, code, packet[:quoted]))


def send_packet(world: World, protocol: int, destination: bytes, flags: int, payload: bytes) -> None:
    world.frame(ipv4.header(protocol, _ADDRESS, destination, len(payload)) + payload, flags)


def send_fragment(world: World, destination: bytes, field: int, identification: int, protocol: int, payload: bytes) -> None:
    world.frame(ipv4.header(protocol, _ADDRESS, destination, len(payload), field, identification) + payload, 0)


def send_raw(world: World, packet: bytes, head: bytes) -> None:
    world.frame(packet, 0, head)


def send_segment(world: World, port: int, flags: int, ahead: int, acknowledged: int, window: int, size: int) -> None:
    """Send a segment to the server, as much beside what would be right as `ahead` and `acknowledged` say."""
    key = _GATEWAY + struct.pack(">HH", port, world.port)
    acknowledgement, sequence = world.wire.numbers.get(key, (0, 7))
    if flags & tcp.SYN:
        size = 0
    fields = (port, world.port, (sequence + ahead) & 0xFFFFFFFF, (acknowledgement + acknowledged) & 0xFFFFFFFF)
    segment = struct.pack(">HHLLBBHHH", *fields, 5 << 4, flags, window, 0, 0) + bytes(size)
    world.frame(ipv4.header(ipv4.TCP, _ADDRESS, _GATEWAY, len(segment)) + segment)


def act_outside(world: World, what: str, number: int) -> None:
    if number >= len(world.accepted):
        return
    sock = world.accepted[number]
    try:
        if what == "send":
            sock.send(bytes(50_000))
        elif what == "receive":
            sock.recv(1 << 20)
        elif what == "end":
            sock.shutdown(1)
        else:
            world.accepted.pop(number)
            sock.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
    except OSError:
        pass  # it has ended, or has no room, or nothing to read


_STEPS: dict[str, Callable[..., None]] = {
    "round": World.rounds,
    "later": pass_time,
    "tcp": send_segment,
    "open": open_connection,
    "more": send_more,
    "gap": send_with_gaps,
    "fail": end_what_has_failed,
    "host": act_outside,
    "udp": send_datagram,
    "icmp": send_ping,
    "refuse": refuse_datagram,
    "fragment": send_fragment,
    "packet": send_packet,
    "raw": send_raw,
}


def in_a_network_of_its_own(function: Callable[[], None]) -> None:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            become_unprivileged()
            unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
            interfaces = Interfaces()
            interfaces.set_up("lo")
            interfaces.close()
            function()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0, "see the traceback of the child"


_SETTINGS = settings(
    deadline=None,
    max_examples=int(os.environ.get("RL_FUZZ_EXAMPLES", "150")),
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("allowed", [True, False])
def test_whatever_a_container_sends(monkeypatch: pytest.MonkeyPatch, allowed: bool) -> None:
    opened: list[str] = []
    for module in (tcp_host, udp_host, ping_host, dns_host):
        real = module.open_socket

        def spy(address: str, *arguments: int, real: Callable[..., Any] = real) -> Any:
            opened.append(address)
            return real(address, *arguments)

        monkeypatch.setattr(module, "open_socket", spy)

    @_SETTINGS
    @given(st.lists(steps, max_size=40))
    def run(script: list[tuple[Any, ...]]) -> None:
        opened.clear()
        world = World(allow_host_loopback=allowed)
        asked_dns = False
        for step in script:
            asked_dns |= step[0] in ("udp", "packet", "fragment", "raw")
            perform(world, step)
        world.end()
        # With no name server in resolv.conf, 127.0.0.1 is asked, as the C library does.
        reachable = {"127.0.0.1"} if allowed or asked_dns else set()
        assert not [address for address in opened if address.startswith(_FORBIDDEN) and address not in reachable]

    in_a_network_of_its_own(lambda: fuzz(run))


@pytest.mark.parametrize("seed", range(4))
def test_mutated_frames_break_nothing(seed: int) -> None:
    chance = random.Random(seed)

    def run() -> None:
        world = World(allow_host_loopback=True)
        payload = b"\0\7\1\0\0\1\0\0\0\0\0\0\4host\7internal\0\0\1\0\1"
        head = udp.header4(_ADDRESS, _DNS, 5000, 53, payload)
        message = icmp.echo(icmp.ECHO, 7, 1, b"x" * 40)
        syn = struct.pack(">HHLLBBHHH", 1, world.port, 7, 0, 8 << 4, tcp.SYN, 1000, 0, 0)
        syn += tcp.Options(1460, 7, sack_permitted=True).emit()
        samples = [
            ipv4.header(ipv4.UDP, _ADDRESS, _DNS, len(head + payload)) + head + payload,
            ipv4.header(ipv4.ICMP, _ADDRESS, _GATEWAY, len(message)) + message,
            ipv4.header(ipv4.TCP, _ADDRESS, _GATEWAY, len(syn)) + syn,
        ]
        for _ in range(3000):
            packet = bytearray(chance.choice(samples))
            for _ in range(chance.randrange(4)):
                packet[chance.randrange(len(packet))] = chance.randrange(256)
            if chance.random() < 0.7:  # a wrong sum would end it too soon
                packet[10:12] = bytes(2)
                packet[10:12] = checksum.checksum(bytes(packet[: (packet[0] & 15) * 4])).to_bytes(2, "big")
            del packet[chance.choice([len(packet), chance.randrange(len(packet) + 1)]) :]
            world.frame(bytes(packet), chance.choice([0, 1, 2]))
            if chance.random() < 0.1:
                world.time += chance.choice([0, 1, 40])
                world.rounds()
        assert world.stack.dropped > 100
        world.end()

    in_a_network_of_its_own(lambda: fuzz(run))


def test_the_layout_of_a_frame() -> None:
    assert PACKET_AT == vnet.LENGTH + ethernet.LENGTH
