"""The measurements of contrib/benchmarks/ports: clients on the node's loopback, a server in a container of each engine.

Podman's rootlessport copies between two sockets, so that its containers see the node as the client; ours see who it is. A row is
the time for the work, ours divided by podman's. Exit status 1 says that a goal was missed.
"""

import argparse
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # isolated mode leaves the script's folder out

from _measure import COLUMNS, Comparison, compare, options_of, parser_of, table
from _peers import IMAGE, Bench, Engine

_GOAL = 1.0
_PIECE = 1 << 20
_CONNECTIONS = 500
_PATIENCE = 30  # seconds
# The node's Python: answers the eight bytes of a number with as many bytes, and a zero with one when all was read.
_NODE = ("-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro")
_SERVER = """
import socket, threading
def serve(connection):
    wanted = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "big")
    piece = bytes(1 << 20)
    while wanted > 0:
        wanted -= connection.send(piece[:wanted])
    while connection.recv(1 << 20):
        pass
    connection.sendall(b"x")
    connection.close()
with socket.create_server(("", 80), backlog=512) as listening:
    while True:
        threading.Thread(target=serve, args=listening.accept()[:1]).start()
"""


def main() -> int:
    """Measure, print, and return the exit status."""
    options = _arguments()
    comparisons: list[Comparison] = []
    with Bench(options.user, options.environment) as bench:
        ports = [_serve(engine) for engine in (bench.rl, bench.podman)]
        for what, work in _works(options.mib << 20):
            ours, theirs = (partial(work, port) for port in ports)
            comparisons.append(compare(what, ours, theirs, runs=options.runs, goal=_GOAL))
            print(table([COLUMNS, comparisons[-1].row()]).splitlines()[1], file=sys.stderr, flush=True)
    print(f"\n{options.mib} MiB, medians of {options.runs} paired runs\n")
    print(table([COLUMNS, *(comparison.row() for comparison in comparisons)]))
    return 0 if all(comparison.ratio <= comparison.goal for comparison in comparisons) else 1


def _works(size: int) -> list[tuple[str, Callable[[int], None]]]:
    return [
        *(
            (f"{direction} the container, {count} at once", partial(_at_once, count, partial(work, size // count)))
            for direction, work in (("into", _send), ("out of", _receive))
            for count in (1, 8)
        ),
        (f"{_CONNECTIONS} connections", _connect_often),
    ]


def _serve(engine: Engine) -> int:
    """Start the server in a container, and return the port of the node that it answers at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    arguments = ("-p", f"127.0.0.1:{port}:80", *_NODE, IMAGE, "python3", "-I", "-S", "-c", _SERVER)
    engine("run", "-d", *arguments)
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            _send(0, port)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return port


def _send(size: int, port: int) -> None:
    piece = bytes(_PIECE)
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        connection.sendall(bytes(8))
        for _ in range(size // _PIECE):
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        if connection.recv(1) != b"x":
            raise ConnectionError("the server did not read everything")


def _receive(size: int, port: int) -> None:
    buffer = bytearray(_PIECE)
    left = size + 1
    with socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE) as connection:
        connection.sendall(size.to_bytes(8, "big"))
        connection.shutdown(socket.SHUT_WR)
        while received := connection.recv_into(buffer):
            left -= received
    if left:
        raise ConnectionError(f"{left} bytes of {size} are missing")


def _at_once(count: int, work: Callable[[int], None], port: int) -> None:
    failures: list[OSError] = []

    def run() -> None:
        try:
            work(port)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _connect_often(port: int) -> None:
    for _ in range(_CONNECTIONS):
        _send(0, port)


def _arguments() -> argparse.Namespace:
    parser = parser_of("ports", __doc__, 7)
    parser.add_argument("--mib", type=int, default=256, help="how much passes in a run (default: %(default)s MiB)")
    return options_of(parser)


if __name__ == "__main__":
    sys.exit(main())
