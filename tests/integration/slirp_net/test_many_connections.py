"""Many open connections, some of them busy, some coming and going: nothing is lost, memory is bounded, idleness costs nothing.

RL_TEST_CONNECTIONS, RL_TEST_ACTIVE and RL_TEST_SECONDS make it longer (contrib/stress/connections).
"""

import os
import random
import resource
import select
import signal
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.integration.slirp_net.container import GATEWAY, Container, Inside
from tests.integration.slirp_net.outside import listener

COUNT = int(os.environ.get("RL_TEST_CONNECTIONS", "1000"))
ACTIVE = int(os.environ.get("RL_TEST_ACTIVE", "50"))
SECONDS = float(os.environ.get("RL_TEST_SECONDS", "3"))
CHURN = 10  # of the active connections are closed and made again each second
LARGEST = 3000  # bytes of a message
PATIENCE = 60
MIB = 1 << 20
MOST_EACH = 8192  # bytes of memory that an open connection costs at most
MOST_GROWTH = 4 * MIB  # while it goes on


class Sample(NamedTuple):
    """The stack's process at a moment."""

    at: float
    pss: int  # bytes
    descriptors: int
    cpu: float  # seconds


def sample(pid: int) -> Sample:
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        (pss,) = [int(line.split()[1]) << 10 for line in file if line.startswith("Pss:")]
    with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
        cpu = int(file.read().split()[0]) / 1e9
    return Sample(time.monotonic(), pss, len(os.listdir(f"/proc/{pid}/fd")), cpu)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


class Crowd:
    """The connections inside. Messages of random lengths and bytes go there and come back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._chance = random.Random(7)
        self._poll = select.epoll()
        self._waiting: dict[int, tuple[socket.socket, bytes]] = {}
        self.round_trips = 0
        self.idle = [self._connect() for _ in range(COUNT - ACTIVE)]
        self.active = [self._connect() for _ in range(ACTIVE)]

    def _connect(self) -> socket.socket:
        return socket.create_connection((GATEWAY, self._port), timeout=PATIENCE)

    def talk(self) -> None:
        """Keep all active ones busy for SECONDS, some being closed and made again."""
        for one in self.active:
            self._say(one)
        end = time.monotonic() + SECONDS
        next_churn = time.monotonic() + 1
        while time.monotonic() < end:
            self._serve()
            if time.monotonic() >= next_churn:
                next_churn += 1
                for _ in range(CHURN):
                    self._replace(self._chance.randrange(ACTIVE))
        while self._waiting:
            self._serve(again=False)

    def _say(self, one: socket.socket) -> None:
        message = self._chance.randbytes(self._chance.randint(1, LARGEST))
        one.sendall(message)
        if one.fileno() not in self._waiting:
            self._poll.register(one, select.EPOLLIN)
        self._waiting[one.fileno()] = (one, message)

    def _serve(self, *, again: bool = True) -> None:
        events = self._poll.poll(PATIENCE)
        assert events, f"{len(self._waiting)} wait for an answer"
        for number, _ in events:
            one, message = self._waiting[number]
            data = one.recv(LARGEST)
            assert data, "an answer was cut off"
            assert message.startswith(data)
            if len(data) < len(message):
                self._waiting[number] = (one, message[len(data) :])
                continue
            self.round_trips += 1
            if again:
                self._say(one)
            else:
                self._forget(one)

    def _forget(self, one: socket.socket) -> None:
        del self._waiting[one.fileno()]
        self._poll.unregister(one)

    def _replace(self, number: int) -> None:
        one = self.active[number]
        self._forget(one)
        one.close()  # with an answer under way: some of these end by a reset
        self.active[number] = self._connect()
        self._say(self.active[number])


class Echo:
    """The server outside; `until` serves until a condition holds, and takes a sample now and then."""

    def __init__(self, server: socket.socket, stack: int) -> None:
        self._server = server
        self._stack = stack
        self._connections: dict[int, socket.socket] = {}
        self._poll = select.epoll()
        self._poll.register(server, select.EPOLLIN)
        self.samples: list[Sample] = []

    def serve_until_readable(self, descriptor: int) -> None:
        self._poll.register(descriptor, select.EPOLLIN)
        next_sample = time.monotonic() + 1
        while True:
            events = self._poll.poll(1)
            if time.monotonic() >= next_sample:
                self.samples.append(sample(self._stack))
                next_sample += max(SECONDS / 60, 0.5)
            for number, _ in events:
                if number == descriptor:
                    self._poll.unregister(descriptor)
                    return
                self._on_event(number)

    def close(self) -> None:
        for one in self._connections.values():
            one.close()
        self._poll.close()

    def _on_event(self, number: int) -> None:
        if number == self._server.fileno():
            connection, _ = self._server.accept()
            self._connections[connection.fileno()] = connection
            self._poll.register(connection, select.EPOLLIN)
            return
        connection = self._connections[number]
        try:
            data = connection.recv(65536)
            if data:
                connection.sendall(data)
                return
        except OSError:
            pass  # it was closed before the answer
        del self._connections[number]
        connection.close()


@pytest.mark.usefixtures("many_descriptors")
def test_a_crowd_is_served_within_bounds(plain: Container) -> None:
    asleep, told = os.pipe()

    def inside() -> int:
        signal.alarm(int(SECONDS + COUNT / 50 + 4 * PATIENCE))
        resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
        crowd = Crowd(port)
        os.write(told, b"o")
        time.sleep(3 * QUIET)
        crowd.talk()
        os.write(told, b"t")
        time.sleep(QUIET)
        return crowd.round_trips

    before = sample(plain.stack)
    with listener() as (server, port):
        server.listen(1024)
        echo = Echo(server, plain.stack)
        began = time.monotonic()
        finish = plain.begin(inside)
        try:
            opened = wait_for_word(echo, asleep)
            took = time.monotonic() - began
            assert plain.request("stats")["tcp"] == COUNT
            time.sleep(QUIET)  # time-outs of the handshakes are put off, and buffers given back
            idle = idle_cpu(plain.stack)
            echo.samples.clear()
            wait_for_word(echo, asleep)
            during = echo.samples
            round_trips = result_of(finish, echo)
        finally:
            echo.close()
            os.close(asleep)
            os.close(told)
    each = (opened.pss - before.pss) / COUNT
    most = max(one.pss for one in during)
    first, last = during[0], during[-1]
    print(
        f"\n{COUNT} connections opened in {took:.1f} s: PSS {before.pss / MIB:.1f} -> {opened.pss / MIB:.1f} MiB, "
        f"{each:.0f} bytes each; idle: {idle * 1e3:.1f} ms of CPU in {QUIET:.0f} s\n"
        f"{ACTIVE} active for {SECONDS:.0f} s: {round_trips} round trips, PSS {first.pss / MIB:.1f} -> {last.pss / MIB:.1f} MiB "
        f"(most {most / MIB:.1f}), descriptors {first.descriptors} -> {last.descriptors}, "
        f"CPU {(last.cpu - first.cpu) / max(last.at - first.at, 1e-9):.0%}"
    )
    assert each < MOST_EACH
    assert idle < 0.01 * QUIET
    assert most < first.pss + MOST_GROWTH + ACTIVE * LARGEST
    assert max(one.descriptors for one in during) < COUNT + CHURN * 20
    assert given_back(plain, before), plain.request("stats")
    after = sample(plain.stack)
    print(f"afterwards: PSS {after.pss / MIB:.1f} MiB, {after.descriptors} descriptors")


QUIET = 2.0  # seconds


def wait_for_word(echo: Echo, descriptor: int) -> Sample:
    echo.serve_until_readable(descriptor)
    os.read(descriptor, 1)
    return sample(echo._stack)


def idle_cpu(pid: int) -> float:
    """Return the processor time that the stack takes while nobody says anything."""
    before = sample(pid)
    time.sleep(QUIET)
    return sample(pid).cpu - before.cpu


def result_of(finish: Inside, echo: Echo) -> int:
    echo.serve_until_readable(finish._reading)
    result = finish.result()
    assert isinstance(result, int)
    return result


def given_back(container: Container, before: Sample) -> bool:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        stats = container.request("stats")
        if (stats["tcp"], stats["slots"], stats["copied"]) == (0, 1, 0):
            return len(os.listdir(f"/proc/{container.stack}/fd")) == before.descriptors
        time.sleep(0.2)
    return False
