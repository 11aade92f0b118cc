"""Makes traffic: `_traffic.py host` and `_traffic.py inside` are asked for the same work on their standard inputs.

    out BYTES COUNT          inside sends BYTES over COUNT connections at once
    in BYTES COUNT           the host does
    round_trips COUNT        a byte goes there and back, COUNT times
    connections COUNT        connections, one after the other, which the host ends at once
    datagrams COUNT          datagrams go there and back, a few at a time

The host says first which ports it has; inside is told them behind every request. Both say `done` after each, or what went wrong.
"""

import select
import socket
import sys
from collections.abc import Callable

_BLOCK = 1 << 20
_AT_ONCE = 32  # datagrams under way
_DATAGRAM = 64  # bytes
_LOST = 0.2  # seconds after which a datagram counts as lost
_BLOCKED = 60  # seconds


def send(connections: list[socket.socket], total: int) -> None:
    """Send `total` bytes over all connections, the same over each, and end them."""
    block = memoryview(bytes(_BLOCK))
    left = dict.fromkeys(connections, total // len(connections))
    poll = select.epoll()
    by_number = {one.fileno(): one for one in connections}
    for one in connections:
        one.setblocking(False)
        poll.register(one, select.EPOLLOUT)
    while left:
        for number, _events in _events_of(poll):
            one = by_number[number]
            left[one] -= one.send(block[: left[one]])
            if not left[one]:
                del left[one]
                poll.unregister(one)
                one.shutdown(socket.SHUT_WR)


def receive(connections: list[socket.socket], total: int) -> None:
    """Receive from all connections until they end, and see that it was `total` bytes."""
    buffer = bytearray(_BLOCK)
    poll = select.epoll()
    by_number = {one.fileno(): one for one in connections}
    for one in connections:
        poll.register(one, select.EPOLLIN)
    received = 0
    while by_number:
        for number, _events in _events_of(poll):
            count = by_number[number].recv_into(buffer)
            received += count
            if not count:
                poll.unregister(by_number.pop(number))
    if received != total // len(connections) * len(connections):
        raise RuntimeError(f"{received} bytes of {total} arrived")


def _events_of(poll: select.epoll) -> list[tuple[int, int]]:
    events = poll.poll(_BLOCKED)
    if not events:
        raise RuntimeError(f"nothing has moved for {_BLOCKED} seconds")
    return events


class Host:
    """The end on the host."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._server.settimeout(_BLOCKED)
        self._datagrams = socket.socket(type=socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", 0))
        self._datagrams.settimeout(_BLOCKED)
        print(self._server.getsockname()[1], self._datagrams.getsockname()[1], flush=True)

    def out(self, total: int, count: int) -> None:
        """Receive."""
        connections = [self._server.accept()[0] for _ in range(count)]
        receive(connections, total)
        _close(connections)

    def in_(self, total: int, count: int) -> None:
        """Send, and wait until all of it was received."""
        connections = [self._server.accept()[0] for _ in range(count)]
        send(connections, total)
        receive(connections, 0)
        _close(connections)

    def round_trips(self, _count: int) -> None:
        """Send back whatever comes."""
        connection, _ = self._server.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := connection.recv(100):
                connection.sendall(data)

    def connections(self, count: int) -> None:
        """Accept, and end at once."""
        for _ in range(count):
            self._server.accept()[0].close()

    def datagrams(self, count: int) -> None:
        """Send back `count` different datagrams, and those that were lost."""
        seen: set[bytes] = set()
        while len(seen) < count:
            data, address = self._datagrams.recvfrom(100)
            seen.add(data[:8])
            self._datagrams.sendto(data, address)
        self._datagrams.settimeout(2 * _LOST)  # answers to the last ones may have been lost
        try:
            while True:
                data, address = self._datagrams.recvfrom(100)
                if data == b"end":
                    break
                self._datagrams.sendto(data, address)
        except TimeoutError:
            pass
        self._datagrams.settimeout(_BLOCKED)


class Inside:
    """The end in the container; the last three arguments of each piece of work are the host's address and ports."""

    def __init__(self) -> None:
        print("ready", flush=True)

    def out(self, total: int, count: int, *host: int) -> None:
        """Send, and wait until all of it was received."""
        connections = [_connect(*host) for _ in range(count)]
        send(connections, total)
        receive(connections, 0)
        _close(connections)

    def in_(self, total: int, count: int, *host: int) -> None:
        """Receive."""
        connections = [_connect(*host) for _ in range(count)]
        receive(connections, total)
        _close(connections)

    def round_trips(self, count: int, *host: int) -> None:
        """Send a byte when the one before has come back."""
        with _connect(*host) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(count):
                connection.sendall(b"x")
                connection.recv(1)

    def connections(self, count: int, *host: int) -> None:
        """Connect, and wait for the end."""
        for _ in range(count):
            with _connect(*host) as connection:
                connection.recv(1)

    def datagrams(self, count: int, address: int, _port: int, port: int) -> None:
        """Send the next datagram when one has come back, and those again that were lost."""
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.connect((_text_of(address), port))
            sock.settimeout(_LOST)
            waiting: dict[bytes, None] = {}
            sent = 0
            while sent < count or waiting:
                while sent < count and len(waiting) < _AT_ONCE:
                    waiting[number := sent.to_bytes(8, "big")] = None
                    sock.send(number + bytes(_DATAGRAM - 8))
                    sent += 1
                try:
                    waiting.pop(sock.recv(100)[:8], None)
                except TimeoutError:
                    for number in waiting:
                        sock.send(number + bytes(_DATAGRAM - 8))
            sock.send(b"end")


def _connect(address: int, port: int, _datagram_port: int) -> socket.socket:
    return socket.create_connection((_text_of(address), port), timeout=_BLOCKED)


def _text_of(address: int) -> str:
    return socket.inet_ntoa(address.to_bytes(4, "big"))


def _close(connections: list[socket.socket]) -> None:
    for one in connections:
        one.close()


def _number(word: str) -> int:
    return int.from_bytes(socket.inet_aton(word), "big") if "." in word else int(word)


def main() -> None:
    """Do what is asked for until the end of the input."""
    end = Host() if sys.argv[1] == "host" else Inside()
    for line in sys.stdin:
        name, *words = line.split()
        function: Callable[..., None] = getattr(end, "in_" if name == "in" else name)
        try:
            function(*map(_number, words))
            print("done", flush=True)
        except (OSError, RuntimeError) as error:
            print(f"{sys.argv[1]}: {error}", flush=True)


if __name__ == "__main__":
    main()
