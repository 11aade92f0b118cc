"""What the outside says by ICMP reaches the container, from who said it: with routers of our own, and the tools that show it."""

import contextlib
import errno
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.slirp_net.container import GATEWAY, Container
from tests.integration.slirp_net.outside import PUBLIC, Host
from tests.integration.slirp_net.routers import CLOSED, FAR, NARROW, NOWHERE, ROUTER, Routers

_IP_RECVERR = 11


@pytest.fixture
def routers(on_host: tuple[Host, Container]) -> Iterator[Routers]:
    with Routers(on_host[0]) as made:
        yield made


@pytest.fixture
def behind(routers: Routers, on_host: tuple[Host, Container]) -> Container:
    """A container whose host is behind `routers`."""
    assert routers
    return on_host[1]


def tool(container: Container, *command: str) -> str:
    done: subprocess.CompletedProcess[str] = container.run(
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    )
    return done.stdout + done.stderr


def refusal(container: Container, address: str, port: int, size: int = 10) -> tuple[int, int, int, str, int]:
    """Send a datagram and return what the container's kernel says of it: errno, type, code, sender, info."""

    def ask() -> tuple[int, int, int, str, int]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(10)
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
            sock.connect((address, port))
            sock.send(bytes(size))
            with contextlib.suppress(OSError):
                sock.recv(1)
            _data, ((_level, _kind, content),), _flags, _address = sock.recvmsg(2000, 512, socket.MSG_ERRQUEUE)
            number, _origin, kind, code, info = struct.unpack_from("=LBBBxL", content)
            return number, kind, code, socket.inet_ntoa(content[20:24]), info

    answer: tuple[int, int, int, str, int] = container.run(ask)
    return answer


@pytest.mark.parametrize("how", ["-U", "-I", "-T"], ids=["udp", "icmp", "tcp"])
def test_traceroute_shows_the_way(behind: Container, how: str) -> None:
    """TCP with a port that is closed, and UDP with one, end at the far host's own answer."""
    output = tool(behind, "traceroute", how, "-n", "-q", "2", "-w", "3", "-m", "6", *(["-p", "9999"] if how != "-I" else []), FAR)
    hops = [line.split()[1] for line in output.splitlines()[1:]]
    assert hops == [GATEWAY, ROUTER, FAR], output


def test_traceroute_to_nowhere_ends_where_the_way_ends(behind: Container) -> None:
    output = tool(behind, "traceroute", "-n", "-q", "1", "-w", "3", "-m", "6", NOWHERE)
    last = output.splitlines()[-1].split()
    assert (last[1], last[-1]) == (ROUTER, "!N"), output


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (FAR, (errno.ECONNREFUSED, 3, 3, FAR)),
        (NOWHERE, (errno.ENETUNREACH, 3, 0, ROUTER)),
        (CLOSED, (errno.EHOSTUNREACH, 3, 13, ROUTER)),
    ],
)
def test_a_datagram_is_refused_by_who_refuses_it(behind: Container, address: str, expected: tuple[int, int, int, str]) -> None:
    assert refusal(behind, address, 9)[:4] == expected


def test_a_datagram_too_large_for_a_router_is_told_with_the_mtu(behind: Container) -> None:
    assert refusal(behind, FAR, 9, 1400) == (errno.EMSGSIZE, 3, 4, ROUTER, NARROW)


def test_after_errors_an_answer_comes_through(behind: Container, routers: Routers) -> None:
    """Until the other side listens every datagram is refused, and the flow goes on."""
    echo = routers.on_far("socat", "-T5", "udp4-recvfrom:9000,reuseaddr", "exec:cat")
    assert echo.stdin is not None

    def ask() -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(1)
            sock.connect((FAR, 9000))
            for _ in range(100):
                try:
                    sock.send(b"hello")
                    return sock.recv(100)
                except ConnectionRefusedError:  # it does not listen yet
                    time.sleep(0.05)
        return b""

    assert behind.run(ask) == b"hello"
    echo.communicate(timeout=10)


@pytest.mark.parametrize(
    ("address", "port", "expected"),
    [(FAR, 9, errno.ECONNREFUSED), (NOWHERE, 9, errno.ENETUNREACH), (CLOSED, 9, errno.EHOSTUNREACH)],
)
def test_a_connection_is_refused_as_on_the_host(behind: Container, address: str, port: int, expected: int) -> None:
    def connect() -> int:
        with socket.socket() as sock:
            sock.settimeout(10)
            return sock.connect_ex((address, port))

    assert behind.run(connect) == expected


def test_ping_tells_who_does_not_carry_it(behind: Container) -> None:
    assert f"From {ROUTER} icmp_seq=1 Destination Net Unreachable" in tool(behind, "ping", "-n", "-c1", "-w5", NOWHERE)
    assert f"From {ROUTER} icmp_seq=1 Packet filtered" in tool(behind, "ping", "-n", "-c1", "-w5", CLOSED)
    assert f"From {ROUTER} icmp_seq=1 Time to live exceeded" in tool(behind, "ping", "-n", "-c1", "-w5", "-t2", FAR)
    assert f"From {GATEWAY} icmp_seq=1 Time to live exceeded" in tool(behind, "ping", "-n", "-c1", "-w5", "-t1", FAR)
    assert "1 received" in tool(behind, "ping", "-n", "-c1", "-w5", FAR)


def test_a_container_that_refuses_an_answer_is_heard_outside(behind: Container, routers: Routers) -> None:
    """Who goes on sending to a closed port of the container is refused by the host, as if it were the container."""
    program = (
        "import socket, sys\n"
        "server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        f"server.bind(('{FAR}', 9000))\n"
        "print('ready', flush=True)\n"
        "server.settimeout(20)\n"
        "_data, client = server.recvfrom(100)\n"
        "sys.stdin.readline()\n"
        "server.connect(client)\n"
        "server.settimeout(0.2)\n"
        "for _ in range(50):\n"
        "    try:\n"
        "        server.send(b'late')\n"
        "        server.recv(100)\n"
        "    except ConnectionRefusedError:\n"
        "        print('refused')\n"
        "        break\n"
        "    except TimeoutError:\n"
        "        pass\n"
    )
    server = routers.on_far("/usr/bin/python3", "-I", "-c", program)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"

    def ask_and_leave() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            assert sock.sendto(b"hello", (FAR, 9000)) == 5

    behind.run(ask_and_leave)
    assert behind.request("stats")["udp"] == 1
    assert server.communicate("go\n", timeout=30)[0] == "refused\n"
    assert behind.request("stats")["udp"] == 0


def test_a_host_that_forbids_ping_says_so(resolv_conf: Path) -> None:
    """Nobody pretends that the other side is there, or that it is not."""
    with Host(str(resolv_conf), may_ping=False) as host, Container() as container:
        container.start(host.place)
        assert f"From {GATEWAY} icmp_seq=1 Packet filtered" in tool(container, "ping", "-n", "-c1", "-w5", PUBLIC)
        assert "1 received" in tool(container, "ping", "-n", "-c1", "-w5", GATEWAY)
