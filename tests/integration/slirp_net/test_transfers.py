"""Streams through the real kernel on both sides: they arrive whole, end as they were ended, and fail as they failed."""

import contextlib
import errno
import select
import socket
import struct
import time
import zlib
from collections.abc import Callable

import pytest

from tests.integration.slirp_net.container import ADDRESS, GATEWAY, Container
from tests.integration.slirp_net.outside import listener

GIB = 1 << 30
BLOCK = bytes(range(256)) * 4096  # 1 MiB


def send_blocks(sock: socket.socket, total: int) -> int:
    """Send `total` bytes, each block different from the next, and return their CRC."""
    crc = 0
    for number in range(total // len(BLOCK)):
        block = number.to_bytes(8, "big") + BLOCK[8:]
        crc = zlib.crc32(block, crc)
        sock.sendall(block)
    return crc


def receive_all(sock: socket.socket) -> tuple[int, int]:
    """Receive until the end of file; returns the length and the CRC."""
    buffer = bytearray(1 << 20)
    crc = total = 0
    while count := sock.recv_into(buffer):
        crc = zlib.crc32(memoryview(buffer)[:count], crc)
        total += count
    return total, crc


def connect(port: int, address: str = GATEWAY) -> socket.socket:
    sock = socket.create_connection((address, port), timeout=30)
    sock.settimeout(30)
    return sock


def error_of(function: Callable[[], object]) -> int | None:
    try:
        function()
    except OSError as error:
        return error.errno
    return None


@pytest.mark.parametrize("total", [GIB // 4], ids=["256MiB"])
def test_a_big_transfer_out_arrives_whole(container: Container, total: int) -> None:
    def send() -> int:
        with connect(port) as sock:
            return send_blocks(sock, total)

    with listener() as (server, port):
        finish = container.begin(send).result
        connection, _ = server.accept()
        with connection:
            assert receive_all(connection) == (total, finish())


@pytest.mark.parametrize("total", [GIB // 4], ids=["256MiB"])
def test_a_big_transfer_in_arrives_whole(container: Container, total: int) -> None:
    def receive() -> tuple[int, int]:
        with connect(port) as sock:
            return receive_all(sock)

    with listener() as (server, port):
        finish = container.begin(receive).result
        connection, _ = server.accept()
        with connection:
            crc = send_blocks(connection, total)
        assert finish() == (total, crc)


def test_a_gibibyte_each_way_at_the_same_time(plain: Container) -> None:
    def exchange() -> tuple[int, int, int]:
        with connect(port) as sock:
            sock.setblocking(False)
            return full_duplex(sock, GIB)

    with listener() as (server, port):
        finish = plain.begin(exchange).result
        connection, _ = server.accept()
        with connection:
            connection.setblocking(False)
            sent, total, received = full_duplex(connection, GIB)
    theirs = finish()
    assert (total, received) == (GIB, theirs[0])
    assert theirs[1:] == (GIB, sent)


def full_duplex(sock: socket.socket, total: int) -> tuple[int, int, int]:
    """Send `total` bytes and receive to the end; returns the CRC of what was sent, the length and CRC of what came."""
    buffer = bytearray(1 << 20)
    sent_crc = received = received_crc = 0
    left, rest, ended = total, memoryview(b""), False
    while left or not ended:
        readable, writable, _ = select.select([] if ended else [sock], [sock] if left else [], [], 30)
        assert readable or writable, "nothing moves"
        if readable:
            with contextlib.suppress(BlockingIOError):
                count = sock.recv_into(buffer)
                ended = not count
                received += count
                received_crc = zlib.crc32(memoryview(buffer)[:count], received_crc)
        if writable:
            if not rest:
                block = left.to_bytes(8, "big") + BLOCK[8:]
                sent_crc = zlib.crc32(block, sent_crc)
                rest = memoryview(block)
            with contextlib.suppress(BlockingIOError):
                count = sock.send(rest)
                left, rest = left - count, rest[count:]
            if not left:
                sock.shutdown(socket.SHUT_WR)
    return sent_crc, received, received_crc


def test_many_small_pieces_each_way(container: Container) -> None:
    def converse() -> bytes:
        answers = b""
        with connect(port) as sock:
            for number in range(500):
                sock.sendall(b"%d\n" % number)
                answers += sock.recv(100)
        return answers

    with listener() as (server, port):
        finish = container.begin(converse).result
        connection, _ = server.accept()
        with connection:
            while data := connection.recv(100):
                connection.sendall(data)
        assert finish() == b"".join(b"%d\n" % number for number in range(500))


def test_a_slow_reader_outside_stops_the_container(plain: Container) -> None:
    def fill() -> int:
        with connect(port) as sock:
            sock.setblocking(False)
            sent, idle_since = 0, time.monotonic()
            while time.monotonic() - idle_since < 0.5:
                with contextlib.suppress(BlockingIOError):
                    sent += sock.send(BLOCK)
                    idle_since = time.monotonic()
                time.sleep(0.005)
            sock.settimeout(30)
            sock.shutdown(socket.SHUT_WR)
            sock.recv(1)
            return sent

    with listener() as (server, port):
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        finish = plain.begin(fill).result
        connection, _ = server.accept()
        with connection:
            time.sleep(1.5)
            total, _ = receive_all(connection)
            connection.sendall(b"!")
        assert total == finish()
        assert total < 64 << 20, "nothing bounded what was under way"


def test_a_slow_reader_in_the_container_stops_the_outside(plain: Container) -> None:
    def read_late() -> int:
        with connect(port) as sock:
            time.sleep(1.5)
            return receive_all(sock)[0]

    with listener() as (server, port):
        finish = plain.begin(read_late).result
        connection, _ = server.accept()
        with connection:
            connection.setblocking(False)
            sent, idle_since = 0, time.monotonic()
            while time.monotonic() - idle_since < 0.5:
                with contextlib.suppress(BlockingIOError):
                    sent += connection.send(BLOCK)
                    idle_since = time.monotonic()
                time.sleep(0.005)
        assert finish() == sent
        assert sent < 64 << 20


def test_the_container_ends_first_and_still_receives(plain: Container) -> None:
    def ask() -> bytes:
        with connect(port) as sock:
            sock.sendall(b"question")
            sock.shutdown(socket.SHUT_WR)
            answer = b""
            while data := sock.recv(100):
                answer += data
            return answer

    with listener() as (server, port):
        finish = plain.begin(ask).result
        connection, _ = server.accept()
        with connection:
            assert receive_all(connection)[0] == 8
            time.sleep(0.2)
            connection.sendall(b"answer")
        assert finish() == b"answer"


def test_the_outside_ends_first_and_still_receives(plain: Container) -> None:
    def listen_first() -> bytes:
        with connect(port) as sock:
            heard = b""
            while data := sock.recv(100):
                heard += data
            time.sleep(0.2)
            sock.sendall(b"heard " + heard)
            return heard

    with listener() as (server, port):
        finish = plain.begin(listen_first).result
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"news")
            connection.shutdown(socket.SHUT_WR)
            assert receive_all(connection) == (10, zlib.crc32(b"heard news"))
        assert finish() == b"news"


def test_a_refused_connection_is_refused(plain: Container) -> None:
    with listener() as (server, port):
        server.close()
        began = time.monotonic()
        assert plain.run(lambda: error_of(lambda: connect(port))) == errno.ECONNREFUSED
        assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", errno.ECONNREFUSED),  # the container's own
        (ADDRESS, errno.ECONNREFUSED),
        ("10.0.2.3", errno.ECONNREFUSED),
    ],
)
def test_what_does_not_listen_refuses(plain: Container, address: str, expected: int) -> None:
    assert plain.run(lambda: error_of(lambda: connect(9, address))) == expected


def test_the_host_is_closed_unless_it_is_allowed() -> None:
    with Container(allow_host_loopback=False) as closed, listener() as (_server, port):
        assert closed.start().run(lambda: error_of(lambda: connect(port))) == errno.ECONNREFUSED


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "0.0.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255"])
def test_what_means_something_else_on_the_host_is_out_of_reach(plain: Container, address: str) -> None:
    """The container's root has raw sockets: a SYN and a datagram to the host's own addresses, written by hand."""

    def reach() -> bool:
        frame_ends = bytes.fromhex("02000a000202"), bytes.fromhex("02000a000264")
        source, destination = socket.inet_aton(ADDRESS), socket.inet_aton(address)
        syn = struct.pack(">HHLLBBHHH", 4444, port, 1, 0, 0x50, 2, 0xFFFF, 0, 0)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as raw:
            raw.bind(("eth0", 0))
            raw.settimeout(0.5)
            raw.send(b"".join(frame_ends) + b"\x08\x00" + with_sums(source, destination, syn))
            with contextlib.suppress(TimeoutError):
                while True:
                    answer = raw.recv(2000)
                    if answer[23] == 6 and answer[47] == 0x12:
                        return True
            return False

    with listener() as (server, port):
        server.settimeout(0.1)
        assert not plain.run(reach)
        with pytest.raises(TimeoutError):
            server.accept()


def with_sums(source: bytes, destination: bytes, segment: bytes) -> bytes:
    """Return an IPv4 packet with a TCP segment, and both checksums."""
    words = struct.unpack(f">4H{len(segment) // 2}H", source + destination + segment)
    total = sum(words) + socket.IPPROTO_TCP + len(segment)
    checked = segment[:16] + (0xFFFF - total % 0xFFFF).to_bytes(2, "big") + segment[18:]
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(checked), 0, 0x4000, 64, 6, 0, source, destination)
    check = 0xFFFF - sum(struct.unpack(">10H", header)) % 0xFFFF
    return header[:10] + check.to_bytes(2, "big") + header[12:] + checked


def test_a_raw_syn_is_answered_where_that_is_allowed(plain: Container) -> None:
    """The test above would pass if its SYN were bad: this one shows that it is good."""

    def reach() -> bool:
        frame_ends = bytes.fromhex("02000a000202"), bytes.fromhex("02000a000264")
        source, destination = socket.inet_aton(ADDRESS), socket.inet_aton(GATEWAY)
        syn = struct.pack(">HHLLBBHHH", 4444, port, 1, 0, 0x50, 2, 0xFFFF, 0, 0)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800)) as raw:
            raw.bind(("eth0", 0))
            raw.settimeout(5)
            raw.send(b"".join(frame_ends) + b"\x08\x00" + with_sums(source, destination, syn))
            while True:
                answer = raw.recv(2000)
                if answer[23] == 6 and answer[47] == 0x12:
                    return True

    with listener() as (_server, port):
        assert plain.run(reach)


def test_a_reset_from_the_outside_is_a_reset(plain: Container) -> None:
    def read() -> int | None:
        with connect(port) as sock:
            sock.sendall(b"x")
            return error_of(lambda: sock.recv(1))

    with listener() as (server, port):
        finish = plain.begin(read).result
        connection, _ = server.accept()
        assert connection.recv(1) == b"x"
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        assert finish() == errno.ECONNRESET


def test_a_reset_from_the_container_is_a_reset(plain: Container) -> None:
    def reset() -> None:
        sock = connect(port)
        sock.sendall(b"x")
        assert sock.recv(1) == b"y"
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()

    with listener() as (server, port):
        finish = plain.begin(reset).result
        connection, _ = server.accept()
        with connection:
            connection.settimeout(5)
            assert connection.recv(1) == b"x"
            connection.sendall(b"y")
            assert error_of(lambda: connection.recv(1)) == errno.ECONNRESET
        finish()


def test_hundreds_of_connections_one_after_the_other_and_at_once(plain: Container) -> None:
    def many() -> int:
        for _ in range(300):
            with connect(port) as sock:
                assert sock.recv(10) == b"hello"
        together = [connect(port) for _ in range(100)]
        heard = sum(sock.recv(10) == b"hello" for sock in together)
        for sock in together:
            sock.close()
        return heard

    with listener() as (server, port):
        finish = plain.begin(many).result
        for _ in range(400):
            connection, _ = server.accept()
            connection.sendall(b"hello")
            connection.close()
        assert finish() == 100
