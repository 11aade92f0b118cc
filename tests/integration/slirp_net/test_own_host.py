"""host.containers.internal: what the host offers to its network is reached, what it keeps to its loopback only when allowed."""

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.slirp_net.container import GATEWAY, Container, Inside
from tests.integration.slirp_net.outside import PUBLIC, Host


@pytest.fixture
def closed(resolv_conf: Path) -> Iterator[tuple[Host, Container]]:
    with Host(str(resolv_conf)) as host, Container(allow_host_loopback=False) as made:
        made.start(host.place)
        yield host, made


def offer(host: Host, address: str) -> Inside:
    """Answer one datagram and one connection at port 8080 of `address`; returns when they can come."""
    reading, writing = os.pipe()

    def serve() -> list[str]:
        with socket.create_server((address, 8080)) as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.bind((address, 8080))
            os.write(writing, b"r")
            data, sender = datagrams.recvfrom(100)
            datagrams.sendto(data, sender)
            connection, client = stream.accept()
            with connection:
                connection.sendall(connection.recv(100))
            return [sender[0], client[0]]

    server = host.begin(serve)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read(1) == b"r"
    return server


def ask() -> list[bytes]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.settimeout(10)
        datagrams.connect((GATEWAY, 8080))
        datagrams.send(b"one")
        first = datagrams.recv(100)
    with socket.create_connection((GATEWAY, 8080), timeout=10) as stream:
        stream.sendall(b"two")
        return [first, stream.recv(100)]


def fails_to_connect() -> int:
    with socket.socket() as stream:
        stream.settimeout(10)
        return stream.connect_ex((GATEWAY, 8080))


@pytest.mark.parametrize("address", [PUBLIC, "0.0.0.0"])
def test_what_the_host_offers_is_reached(closed: tuple[Host, Container], address: str) -> None:
    host, container = closed
    server = offer(host, address)
    assert container.run(ask) == [b"one", b"two"]
    assert server.result() == [PUBLIC, PUBLIC]


def test_what_is_on_the_loopback_is_not(closed: tuple[Host, Container], on_host: tuple[Host, Container]) -> None:
    host, container = closed
    with_loopback = on_host[0]
    server, other = offer(host, "127.0.0.1"), offer(with_loopback, "127.0.0.1")
    assert container.run(fails_to_connect) == errno.ECONNREFUSED
    assert on_host[1].run(ask) == [b"one", b"two"]
    assert other.result() == ["127.0.0.1", "127.0.0.1"]
    os.kill(server.pid, 9)
    os.waitpid(server.pid, 0)
