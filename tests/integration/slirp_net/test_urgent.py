"""Urgent data through a real stack: the byte that one kernel marks is the one that the other sees."""

import select
import socket

import pytest

from tests.integration.slirp_net.container import GATEWAY, Container
from tests.integration.slirp_net.outside import listener

_PATIENCE_MS = 10_000


def send_marked(sock: socket.socket) -> None:
    sock.sendall(b"before")
    sock.send(b"!", socket.MSG_OOB)
    sock.sendall(b"after")
    sock.shutdown(socket.SHUT_WR)


def receive_marked(sock: socket.socket) -> tuple[bytes, bytes]:
    """Return the urgent byte and the stream without it."""
    poll = select.poll()
    poll.register(sock, select.POLLPRI)
    assert poll.poll(_PATIENCE_MS), "nothing urgent came"
    urgent = sock.recv(1, socket.MSG_OOB)
    stream = b""
    while data := sock.recv(100):
        stream += data
    return urgent, stream


@pytest.mark.parametrize("is_out", [True, False], ids=["out", "in"])
def test_an_urgent_byte_arrives_as_such(plain: Container, is_out: bool) -> None:
    def inside() -> tuple[bytes, bytes] | None:
        with socket.create_connection((GATEWAY, port), 10) as sock:
            if not is_out:
                return receive_marked(sock)
            send_marked(sock)
            return None

    with listener() as (server, port):
        begun = plain.begin(inside)
        connection, _ = server.accept()
        with connection:
            if is_out:
                received = receive_marked(connection)
                begun.result()
            else:
                send_marked(connection)
                received = begun.result()
    assert received == (b"!", b"beforeafter")
