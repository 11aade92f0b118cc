"""Ping, UDP and DNS through the real kernel on both sides."""

import contextlib
import errno
import os
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.slirp_net.container import ADDRESS, DNS, GATEWAY, Container, Inside
from tests.integration.slirp_net.outside import PUBLIC, Host, listener

ECHO, ECHO_REPLY, UNREACHABLE, TIME_EXCEEDED = 8, 0, 3, 11


def ping(address: str, data: bytes = b"data", ttl: int = 64) -> tuple[int, int, bytes]:
    """Send one echo request and return (type, code, data) of the first ICMP message that is about it."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(5)
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        request = struct.pack(">BBHHH", ECHO, 0, 0, 77, 1) + data
        even = request + b"\0" * (len(request) & 1)
        check = 0xFFFF - sum(struct.unpack(f">{len(even) // 2}H", even)) % 0xFFFF
        raw.sendto(request[:2] + check.to_bytes(2, "big") + request[4:], (address, 0))
        while True:
            packet = raw.recv(65536)
            kind, code, _, identifier, _ = struct.unpack(">BBHHH", packet[20:28])
            quoted = packet[28 + 9] if kind in (UNREACHABLE, TIME_EXCEEDED) else socket.IPPROTO_ICMP
            if kind != ECHO and (kind != ECHO_REPLY or identifier == 77) and quoted == socket.IPPROTO_ICMP:
                return kind, code, packet[28:]


@pytest.mark.parametrize("address", [GATEWAY, DNS])
@pytest.mark.parametrize("size", [0, 1, 56, 1400, 8000, 60000])
def test_the_gateway_answers_pings_of_any_size(container: Container, address: str, size: int) -> None:
    data = os.urandom(size)
    assert container.run(lambda: ping(address, data)) == (ECHO_REPLY, 0, data)


def test_nobody_else_of_the_subnet_is_there(plain: Container) -> None:
    def connect() -> int:
        with socket.socket() as sock:
            sock.settimeout(10)
            return sock.connect_ex(("10.0.2.77", 9))

    assert plain.run(connect) == errno.EHOSTUNREACH


def test_a_datagram_is_echoed_from_a_port_of_its_own(container: Container) -> None:
    sizes = [0, 1, 1400, 1472, 1473, 9000, 60000, 65507]

    def ask() -> list[int]:
        lengths = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            for size in sizes:
                data = os.urandom(size)
                sock.sendto(data, (GATEWAY, port))
                answer, sender = sock.recvfrom(65536)
                assert sender == (GATEWAY, port)
                assert answer == data
                lengths.append(len(answer))
        return lengths

    with listener(socket.SOCK_DGRAM) as (server, port):
        finish = container.begin(ask)
        for _ in sizes:
            data, client = server.recvfrom(65536)
            server.sendto(data, client)
        assert finish.result() == sizes


def test_a_closed_port_is_told(plain: Container) -> None:
    def ask() -> int | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.connect((GATEWAY, port))
            sock.send(b"x")
            try:
                sock.recv(1)
            except OSError as error:
                return error.errno
            return None

    with listener(socket.SOCK_DGRAM) as (server, port):
        server.close()
        assert plain.run(ask) == errno.ECONNREFUSED


def test_the_host_is_closed_unless_it_is_allowed() -> None:
    def ask() -> int | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.connect((GATEWAY, port))
            sock.send(b"x")
            try:
                sock.recv(1)
            except OSError as error:
                return error.errno
            return None

    with Container(allow_host_loopback=False) as closed, listener(socket.SOCK_DGRAM) as (server, port):
        assert closed.start().run(ask) == errno.ECONNREFUSED
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.recv(1)


def test_a_crowd_of_datagram_flows_is_bounded(plain: Container) -> None:
    def crowd() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for port in range(10000, 12000):
                sock.sendto(b"x", (GATEWAY, port))

    def ping_in_the_crowd() -> int:
        for _ in range(3):
            with contextlib.suppress(TimeoutError):  # the buffer of its socket may be full of the errors of others
                return ping(GATEWAY)[0]
        return -1

    plain.run(crowd)
    assert plain.request("stats")["udp"] <= 1024
    assert plain.run(ping_in_the_crowd) == ECHO_REPLY


def name_server(host: Host, *addresses: str, queries: int = 1, silent: str = "") -> Inside:
    """Start a server on port 53 that answers so many queries with the address it was asked at; returns when it listens."""
    reading, writing = os.pipe()

    def serve() -> list[str]:
        import select

        sockets = {}
        for address in addresses:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind((address, 53))
            sockets[sock] = address
        os.write(writing, b"r")
        asked = []
        while len(asked) < queries:
            for sock in select.select(list(sockets), [], [], 30)[0]:
                query, client = sock.recvfrom(4096)
                asked.append(sockets[sock])
                if sockets[sock] == silent:
                    continue
                records = b"\xc0\x0c" + struct.pack(">HHLH", 1, 1, 60, 4) + socket.inet_aton(sockets[sock])
                sock.sendto(query[:2] + b"\x81\x80" + struct.pack(">4H", 1, 1, 0, 0) + query[12:] + records, client)
        for sock in sockets:
            sock.close()
        return asked

    server = host.begin(serve)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read(1) == b"r"
    return server


def resolve(name: str, kind: int = 1, timeout: float = 10) -> tuple[int, list[str]]:
    """Return the code and the IPv4 addresses of the answer to a query."""
    labels = b"".join(bytes((len(label),)) + label for label in name.encode().split(b"."))
    query = b"\x12\x34" + struct.pack(">5H", 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.connect((DNS, 53))
        sock.send(query)
        answer = sock.recv(4096)
    assert answer[:2] == query[:2]
    flags, questions, answers = struct.unpack(">3H", answer[2:8])
    assert (flags >> 15, questions) == (1, 1)
    assert answer[12 : len(query)] == query[12:]
    return flags & 15, [socket.inet_ntoa(answer[at + 12 : at + 16]) for at in range(len(query), len(query) + 16 * answers, 16)]


def test_a_query_is_forwarded_to_the_hosts_name_server(on_host: tuple[Host, Container]) -> None:
    host, container = on_host
    server = name_server(host, "127.0.0.53")
    assert container.run(lambda: resolve("example.test")) == (0, ["127.0.0.53"])
    assert server.result() == ["127.0.0.53"]


def test_a_changed_resolv_conf_counts_from_the_next_query(on_host: tuple[Host, Container], resolv_conf: Path) -> None:
    host, container = on_host
    server = name_server(host, "127.0.0.53", "127.0.0.54", queries=2)
    assert container.run(lambda: resolve("example.test")) == (0, ["127.0.0.53"])
    resolv_conf.write_text("# changed\nnameserver 127.0.0.54\n")
    assert container.run(lambda: resolve("example.test")) == (0, ["127.0.0.54"])
    server.result()


def test_the_next_server_is_asked_when_the_first_is_dead_or_silent(on_host: tuple[Host, Container], resolv_conf: Path) -> None:
    host, container = on_host
    resolv_conf.write_text("nameserver 127.0.0.53\nnameserver 127.0.0.54\nnameserver 127.0.0.55\n")
    server = name_server(host, "127.0.0.54", "127.0.0.55", queries=2, silent="127.0.0.54")
    assert container.run(lambda: resolve("example.test")) == (0, ["127.0.0.55"])
    assert server.result() == ["127.0.0.54", "127.0.0.55"]


def test_without_any_server_the_answer_is_a_failure(on_host: tuple[Host, Container]) -> None:
    _, container = on_host
    assert container.run(lambda: resolve("example.test")) == (2, [])


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("host.containers.internal", 1, [GATEWAY]),
        ("HOST.Docker.Internal", 1, [GATEWAY]),
        ("host.containers.internal", 28, []),
    ],
)
def test_the_names_of_the_host_are_answered_here(plain: Container, name: str, kind: int, expected: list[str]) -> None:
    assert plain.run(lambda: resolve(name, kind)) == (0, expected)


@pytest.mark.parametrize("size", [0, 56, 1400, 3000])
def test_the_outside_answers_pings_where_the_host_may_ping(on_host: tuple[Host, Container], size: int) -> None:
    _, container = on_host
    assert container.run(lambda: ping(PUBLIC, bytes(size))) == (ECHO_REPLY, 0, bytes(size))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: ping("198.51.100.1")[:2], (UNREACHABLE, 0)),
        (lambda: ping("198.51.100.1", ttl=1)[:2], (TIME_EXCEEDED, 0)),
    ],
    ids=["no route", "no time"],
)
def test_a_ping_that_goes_nowhere_is_told_why(
    on_host: tuple[Host, Container], function: Callable[[], object], expected: tuple[int, int]
) -> None:
    _, container = on_host
    assert container.run(function) == expected


def test_a_connection_without_a_route_is_unreachable(on_host: tuple[Host, Container]) -> None:
    def connect() -> int | None:
        with socket.socket() as sock:
            sock.settimeout(10)
            return sock.connect_ex(("198.51.100.1", 80))

    _, container = on_host
    assert container.run(connect) == errno.ENETUNREACH


def test_the_outside_is_reached_by_its_own_address(on_host: tuple[Host, Container]) -> None:
    host, container = on_host
    reading, writing = os.pipe()

    def serve() -> str:
        with socket.create_server((PUBLIC, 8080)) as server:
            os.write(writing, b"r")
            connection, client = server.accept()
            with connection:
                connection.sendall(connection.recv(100))
            return str(client[0])

    def ask() -> bytes:
        with socket.create_connection((PUBLIC, 8080), timeout=10) as sock:
            assert sock.getsockname()[0] == ADDRESS
            sock.sendall(b"hello")
            return sock.recv(100)

    server = host.begin(serve)
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read(1) == b"r"
    assert container.run(ask) == b"hello"
    assert server.result() == PUBLIC


def test_busybox_pings(plain: Container) -> None:
    """A ping that others wrote agrees with us about checksums and identifiers."""
    command = ["/bin/busybox", "ping", "-c", "2", "-i", "0.2", "-s", "1000", GATEWAY]
    output = plain.run(lambda: subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout)
    assert "2 packets transmitted, 2 packets received" in output
