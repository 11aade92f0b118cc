"""Both kinds of device: what the container's kernel leaves undone on them, and that nothing else is on the wire."""

import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.integration.slirp_net.container import DEVICE, GATEWAY, Container
from tests.integration.slirp_net.outside import listener

_UDP_SEGMENT = 103
_SIZE = 16 << 20


@pytest.fixture(params=["tap", "veth"])
def small(request: pytest.FixtureRequest) -> Iterator[Container]:
    """A container with each kind of device, MTU 1500."""
    with Container(1500, device=request.param) as made:
        yield made.start()


def ethtool(*arguments: str) -> str:
    command = ["/usr/sbin/ethtool", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def send_out(container: Container, before: tuple[str, ...] = ()) -> int:
    """Send _SIZE bytes to the outside and return how many frames they took."""

    def send() -> None:
        if before:
            ethtool("-K", DEVICE, *before)
        with socket.create_connection((GATEWAY, port), timeout=30) as sock:
            sock.sendall(bytes(_SIZE))
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(1) == b""

    frames = int(container.request("stats")["frames"])
    with listener() as (server, port):
        finish = container.begin(send)
        connection, _ = server.accept()
        with connection:
            got = 0
            while part := connection.recv(1 << 20):
                got += len(part)
        finish.result()
    assert got == _SIZE
    return int(container.request("stats")["frames"]) - frames


def test_the_kernel_leaves_checksums_and_segmentation_of_tcp_to_us_and_no_other(small: Container) -> None:
    features = dict(line.strip().split(": ", 1) for line in small.run(lambda: ethtool("-k", DEVICE)).splitlines()[1:])
    on = ("tx-checksumming", "tcp-segmentation-offload", "tx-tcp-segmentation", "tx-tcp6-segmentation")
    assert {name: features[name].split()[0] for name in on} == dict.fromkeys(on, "on")
    off = ("tx-udp-segmentation", "tx-gre-segmentation", "tx-udp_tnl-segmentation", "tx-gso-list")
    assert {name: features[name].split()[0] for name in off} == dict.fromkeys(off, "off")


def test_a_frame_carries_many_segments(small: Container) -> None:
    assert send_out(small) < _SIZE / 8000


def test_a_container_may_do_it_all_itself(small: Container) -> None:
    assert send_out(small, ("tx", "off", "tso", "off", "gso", "off")) > _SIZE / 1500


def test_datagrams_that_are_sent_as_one_arrive_as_many(small: Container) -> None:
    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 1000)
            sock.sendto(b"a" * 1000 + b"b" * 1000 + b"c" * 500, (GATEWAY, port))

    with listener(socket.SOCK_DGRAM) as (server, port):
        small.run(send)
        assert [server.recv(4096) for _ in range(3)] == [b"a" * 1000, b"b" * 1000, b"c" * 500]


@pytest.mark.parametrize("device", ["tap", "veth"])
def test_nobody_else_is_on_the_wire(device: str) -> None:
    """The kernel at the other end of a veth pair would have solicited routers by now; the stack, without IPv6, answers none."""

    def received() -> int:
        with open("/proc/thread-self/net/dev") as file:
            (line,) = [line for line in file if line.strip().startswith(f"{DEVICE}:")]
        return int(line.split()[2])

    with Container(1500, device=device, ipv6=False) as made:
        made.start()
        time.sleep(1.5)
        assert made.run(received) == 0


def test_the_device_outlives_the_process(small: Container) -> None:
    def ask() -> bytes:
        with socket.create_connection((GATEWAY, port), timeout=30) as sock:
            return sock.recv(100)

    for text in (b"first", b"second"):
        with listener() as (server, port):
            finish = small.begin(ask)
            connection, _ = server.accept()
            with connection:
                connection.sendall(text)
            assert finish.result() == text
        small.kill_stack()
        small.start()


def test_a_device_that_is_taken_away_is_the_end_of_nothing_else(small: Container) -> None:
    small.run(lambda: subprocess.run(["ip", "link", "delete", DEVICE], check=True))
    assert small.request("stats")["attached"] is True
    time.sleep(0.2)
    before = _cpu_time(small.stack)
    time.sleep(0.5)
    assert _cpu_time(small.stack) - before < 10  # ticks: it does not spin


def _cpu_time(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
