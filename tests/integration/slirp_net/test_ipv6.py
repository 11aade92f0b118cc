"""IPv6 through a real device: TCP, datagrams, echo and errors between a container and the host's ::1."""

import errno
import os
import select
import socket
import struct
import subprocess

import pytest

from tests.integration.slirp_net.container import ADDRESS6, DEVICE, DNS6, GATEWAY6, Container
from tests.integration.slirp_net.outside import Host

_SIZE = 3_000_000
_IPV6_RECVERR = 25
_ICMP_FILTER_ALL = b"\xff" * 32


def test_tcp_carries_streams_both_ways(container: Container) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        server.settimeout(30)
        port = server.getsockname()[1]
        content = os.urandom(_SIZE)

        def talk() -> bytes:
            with socket.create_connection((GATEWAY6, port), timeout=30) as stream:
                stream.sendall(content)
                stream.shutdown(socket.SHUT_WR)
                return b"".join(iter(lambda: stream.recv(1 << 20), b""))

        client = container.begin(talk)
        connection, _ = server.accept()
        with connection:
            connection.settimeout(30)
            received = b"".join(iter(lambda: connection.recv(1 << 20), b""))
            connection.sendall(received[::-1])
        assert received == content
        assert client.result() == content[::-1]


@pytest.mark.parametrize("size", [0, 1, 1400, 20_000, 65_000])
def test_datagrams_go_out_and_back(container: Container, size: int) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
        server.bind(("::1", 0))
        server.settimeout(30)
        port = server.getsockname()[1]
        content = os.urandom(size)

        def ask() -> bytes:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asker:
                asker.settimeout(30)
                asker.connect((GATEWAY6, port))
                asker.send(content)
                return asker.recv(70_000)

        client = container.begin(ask)
        received, sender = server.recvfrom(70_000)
        server.sendto(received, sender)
        assert received == content
        assert client.result() == content


def refusals(address: str, port: int) -> tuple[int, int]:
    """Return the errors of a connection and of a datagram."""
    with socket.socket(socket.AF_INET6) as stream:
        stream.settimeout(20)
        of_stream = stream.connect_ex((address, port))
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asker:
        asker.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)  # else a datagram socket is told of closed ports only
        asker.connect((address, port))
        asker.send(b"anybody?")
        assert select.select([asker], [], [], 20)[0]
        return of_stream, asker.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def test_errors_are_carried(on_host: tuple[Host, Container]) -> None:
    """The host made up has no route for IPv6 but its ::1."""
    _host, container = on_host
    assert container.run(lambda: refusals(GATEWAY6, 9)) == (errno.ECONNREFUSED, errno.ECONNREFUSED)
    assert container.run(lambda: refusals("fd00::77", 9)) == (errno.EHOSTUNREACH, errno.EHOSTUNREACH)
    assert container.run(lambda: refusals("2001:db8::1", 9)) == (errno.ENETUNREACH, errno.ENETUNREACH)


def test_the_hosts_loopback_is_closed_by_default() -> None:
    with Container(allow_host_loopback=False) as made, socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        made.start()
        port = server.getsockname()[1]
        assert made.run(lambda: refusals(GATEWAY6, port)[0]) != 0


def echo(address: str, size: int = 56) -> bytes:
    """Send an echo request by a raw socket and return the data of the reply."""
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
        passing = bytearray(_ICMP_FILTER_ALL)  # struct icmp6_filter: a set bit blocks
        passing[129 // 8] &= ~(1 << 129 % 8)
        raw.setsockopt(socket.IPPROTO_ICMPV6, 1, bytes(passing))
        raw.settimeout(20)
        zone = socket.if_nametoindex(DEVICE) if address.startswith("fe80") else 0
        raw.sendto(struct.pack(">BBHHH", 128, 0, 0, 7, 1) + bytes(size), (address, 0, 0, zone))
        return raw.recv(70_000)[8:]


def test_the_stacks_own_addresses_answer_echo(container: Container) -> None:
    assert container.run(lambda: [echo(address) for address in (GATEWAY6, DNS6, "fe80::2")]) == [bytes(56)] * 3
    assert container.run(lambda: echo(GATEWAY6, 5000)) == bytes(5000)


def test_the_kernel_takes_the_router_and_no_other_address() -> None:
    """The advertisement is valid for the kernel: it knows the neighbour as a router, and makes no second address."""
    with Container() as made:
        made.start()

        def look() -> str:
            echo("fe80::2")
            shown = [("-6", "addr", "show", "dev", DEVICE, "scope", "global"), ("-6", "route"), ("-6", "neigh")]
            return "".join(subprocess.run(["ip", *one], check=True, capture_output=True, text=True).stdout for one in shown)

        shown = made.run(look)
        assert f"{ADDRESS6}/64" in shown
        assert shown.count("scope global") == 1
        assert "tentative" not in shown
        assert f"default via {GATEWAY6}" in shown
        assert "router" in shown


def test_names_are_asked_by_ipv6(plain: Container) -> None:
    query = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\4host\12containers\10internal\0" + struct.pack(">HH", 1, 1)

    def ask() -> bytes:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as asker:
            asker.settimeout(20)
            asker.connect((DNS6, 53))
            asker.send(query)
            return asker.recv(512)

    assert plain.run(ask).endswith(bytes((10, 0, 2, 2)))
