"""The process itself: its requests, its ends, what it costs, and what happens when it is killed."""

import contextlib
import errno
import os
import select
import socket
import time

import pytest

from tests.integration.slirp_net.container import GATEWAY, Container
from tests.integration.slirp_net.outside import listener


@pytest.fixture
def bare() -> Container:
    """A container whose slirp_net is started by the test."""
    return Container()


def connect(port: int) -> socket.socket:
    sock = socket.create_connection((GATEWAY, port), timeout=30)
    sock.settimeout(30)
    return sock


def wait_for(condition: "object", seconds: float = 5) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_after_a_kill_the_next_one_takes_over(plain: Container) -> None:
    """An old connection is reset as soon as it says something; new ones work."""

    def survive() -> tuple[int | None, bytes]:
        with connect(port) as old:
            old.sendall(b"before")
            assert old.recv(10) == b"killed"
            failure = None
            try:
                while True:
                    old.sendall(b"after")
                    time.sleep(0.02)
            except OSError as error:
                failure = error.errno
        with connect(port) as new:
            return failure, new.recv(100)

    with listener() as (server, port):
        finish = plain.begin(survive)
        connection, _ = server.accept()
        with connection:
            assert connection.recv(10) == b"before"
            connection.sendall(b"killed")
            time.sleep(0.3)
            plain.kill_stack()
            time.sleep(0.2)
            plain.start()
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"hello again")
        assert finish.result() in ((errno.ECONNRESET, b"hello again"), (errno.EPIPE, b"hello again"))


def test_frames_wait_for_the_process_to_start(bare: Container) -> None:
    with bare as container, listener() as (server, port):
        finish = container.begin(lambda: connect(port).recv(10))
        time.sleep(0.2)
        container.start()
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"hello")
        assert finish.result() == b"hello"


def test_the_end_of_the_engine_ends_the_container(plain: Container) -> None:
    assert plain.request("guard", plain.pidfd) == {"ok": True}
    assert plain.control is not None
    plain.control.close()
    plain.control = None
    readable, _, _ = select.select([plain.pidfd], [], [], 5)
    assert readable, "init lives"
    _, status = os.waitpid(plain.stack, 0)
    assert status == 0
    plain.stack = -1


def test_the_end_of_the_engine_without_a_guard_only_ends_the_process(plain: Container) -> None:
    assert plain.control is not None
    plain.control.close()
    plain.control = None
    assert os.waitpid(plain.stack, 0)[1] == 0
    plain.stack = -1
    readable, _, _ = select.select([plain.pidfd], [], [], 0.2)
    assert not readable


def test_stop_spares_a_guarded_container(plain: Container) -> None:
    assert plain.request("guard", plain.pidfd) == {"ok": True}
    assert plain.request("stop") == {"ok": True}
    assert os.waitpid(plain.stack, 0)[1] == 0
    plain.stack = -1
    readable, _, _ = select.select([plain.pidfd], [], [], 0.2)
    assert not readable


def test_bad_requests_are_told_and_change_nothing(plain: Container) -> None:
    assert plain.request("dance")["errno"] == errno.EINVAL
    assert plain.request("attach", plain.tap, **plain.fields())["error"] == "attached already"
    assert plain.request("guard")["errno"] == errno.EINVAL
    assert plain.request("stats")["attached"] is True


@pytest.mark.parametrize(
    "changes",
    [
        {"address": "10.0.2.100/99"},
        {"address": "10.0.2.100"},
        {"gateway": "nowhere"},
        {"mac": "02:00"},
        {"mtu": 12},
        {"mtu": None},
        {"names": {"host": "nowhere"}},
    ],
    ids=str,
)
def test_a_bad_attach_is_refused_and_may_be_tried_again(bare: Container, changes: dict[str, object]) -> None:
    with bare as container:
        fields = container.fields()
        container.fields = lambda: {**fields, **changes}  # type: ignore[method-assign]
        with pytest.raises(AssertionError, match="error"):
            container.start()
        assert container.request("stats") == {"ok": True, "attached": False}
        assert container.request("attach", container.tap, **fields) == {"ok": True}


def test_not_a_tap_is_refused(bare: Container) -> None:
    with bare as container, open(os.devnull, "rb") as null:
        tap, container.tap = container.tap, null.fileno()
        with pytest.raises(AssertionError, match="error"):
            container.start()
        container.tap = tap


def test_everything_is_given_back_after_a_crowd(plain: Container) -> None:
    def crowd() -> None:
        sockets = []
        for _ in range(200):
            sockets.append(connect(port))
            sockets[-1].sendall(b"x" * 1000)
        for number, sock in enumerate(sockets):
            if number % 2:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()

    with listener() as (server, port):
        before = len(os.listdir(f"/proc/{plain.stack}/fd"))
        finish = plain.begin(crowd)
        for _ in range(200):
            connection, _ = server.accept()
            connection.close()
        finish.result()
    assert wait_for(lambda: plain.request("stats")["tcp"] == 0, 15), plain.request("stats")
    assert plain.request("stats")["slots"] == 1
    assert len(os.listdir(f"/proc/{plain.stack}/fd")) == before


def test_a_flood_of_connections_that_reach_nobody_is_bounded(plain: Container) -> None:
    """A server that never accepts: what the container opens is bounded by descriptors, and the rest of its network still works."""

    def flood() -> int:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        sockets = []
        for _ in range(3000):
            sock = socket.socket()
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect((GATEWAY, port))
            sockets.append(sock)
        time.sleep(1)
        return len(sockets)

    with listener() as (_server, port):
        finish = plain.begin(flood)
        assert finish.result() == 3000
        with listener() as (other, other_port):
            finish = plain.begin(lambda: connect(other_port).recv(10))
            connection, _ = other.accept()
            connection.sendall(b"works")
            connection.close()
            assert finish.result() == b"works"


@pytest.mark.parametrize("piece", [1, 100_000])
def test_connections_that_nobody_reads_are_bounded(plain: Container, piece: int) -> None:
    """Hundreds of servers that take nothing: what waits for them is bounded, and comes through when they wake up."""
    count = 300

    def stuff() -> int:
        sockets = [connect(port) for _ in range(count)]
        sent = 0
        for sock in sockets:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            sock.setblocking(False)
        for _ in range(100):
            for sock in sockets:
                with contextlib.suppress(BlockingIOError):
                    sent += sock.send(b"x" * piece)
        for sock in sockets:
            sock.setblocking(True)
            sock.settimeout(60)
            sock.shutdown(socket.SHUT_WR)
            sock.recv(1)
        return sent

    with listener() as (server, port):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        finish = plain.begin(stuff)
        connections = [server.accept()[0] for _ in range(count)]
        time.sleep(3)
        assert resident(plain.stack) < 90 * 1024
        received = 0
        while connections:
            readable, _, _ = select.select(connections, [], [], 60)
            assert readable, f"{len(connections)} connections are stuck"
            for connection in readable:
                data = connection.recv(1 << 20)
                received += len(data)
                if not data:
                    connections.remove(connection)
                    connection.close()
        assert finish.result() == received
    assert wait_for(lambda: plain.request("stats")["copied"] == 0)


def resident(pid: int) -> int:
    """Return the memory of a process, in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        (size,) = [int(line.split()[1]) for line in file if line.startswith("VmRSS")]
    return size


def test_an_idle_process_is_small_and_asleep(plain: Container) -> None:
    with listener() as (server, port):
        finish = plain.begin(lambda: len(connect(port).recv(100)))
        connection, _ = server.accept()
        connection.sendall(b"x")
        finish.result()
        connection.close()
    time.sleep(3)  # buffers are given back after a while
    spent = cpu_time(plain.stack)
    time.sleep(1)
    assert cpu_time(plain.stack) == spent
    with open(f"/proc/{plain.stack}/smaps_rollup", encoding="ascii") as file:
        (private,) = [int(line.split()[1]) for line in file if line.startswith("Private_Dirty")]
    assert private < 6 * 1024, f"{private} KiB"


def cpu_time(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])

