"""What a container talks to: sockets on the host's loopback."""

import contextlib
import socket
from collections.abc import Iterator


@contextlib.contextmanager
def listener(kind: int = socket.SOCK_STREAM) -> Iterator[tuple[socket.socket, int]]:
    """Give a socket bound to a free port of the host's loopback (listening if it is a stream), and the port."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(30)
        if kind == socket.SOCK_STREAM:
            sock.listen(128)
        yield sock, sock.getsockname()[1]
