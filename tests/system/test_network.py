"""The default network of `rl run`: a private stack that reaches the outside, and nothing of the node that is not allowed."""

import hashlib
import http.server
import os
import threading
from collections.abc import Iterator

import pytest

from tests.support.engine import Engine

LOOPBACK = ("--network", "slirp:allow_host_loopback=true")
SIZE = 64 << 20


class _Server(http.server.ThreadingHTTPServer):
    """Serves a random file, and hashes what it is sent."""

    daemon_threads = True
    content = os.urandom(1 << 20) * (SIZE >> 20)
    received = ""


class _Requests(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()
        self.wfile.write(self.server.content)

    def do_POST(self) -> None:
        digest = hashlib.sha256()
        left = int(self.headers["Content-Length"])
        while left:
            chunk = self.rfile.read(min(left, 1 << 20))
            digest.update(chunk)
            left -= len(chunk)
        self.server.received = digest.hexdigest()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[_Server]:
    """An HTTP server on the node's loopback."""
    with _Server(("127.0.0.1", 0), _Requests) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def test_a_download_arrives_intact(engine: Engine, server: _Server) -> None:
    url = f"http://10.0.2.2:{server.server_address[1]}/"
    result = engine.rl("run", "--rm", *LOOPBACK, "busybox", "sh", "-c", f"wget -q -O - {url} | sha256sum")
    assert result.stdout.split()[0] == hashlib.sha256(server.content).hexdigest()


def test_an_upload_arrives_intact(engine: Engine, server: _Server) -> None:
    script = (
        f"(printf 'POST / HTTP/1.0\\r\\nContent-Length: {SIZE}\\r\\n\\r\\n'; "
        f"dd if=/dev/urandom bs=1M count={SIZE >> 20} 2>/dev/null | tee /sent) "
        f"| nc 10.0.2.2 {server.server_address[1]} > /dev/null; sha256sum < /sent"
    )
    result = engine.rl("run", "--rm", *LOOPBACK, "busybox", "sh", "-c", script)
    assert result.stdout.split()[0] == server.received


def test_the_node_s_loopback_is_closed_unless_allowed(engine: Engine, server: _Server) -> None:
    port = server.server_address[1]
    for address in ("10.0.2.2", "127.0.0.1", "0.0.0.0"):
        result = engine.rl("run", "--rm", "busybox", "nc", "-w", "3", address, str(port), check=None)
        assert result.status != 0, address


def test_the_gateway_answers_ping(engine: Engine) -> None:
    assert "1 packets received" in engine.rl("run", "--rm", "busybox", "ping", "-c", "1", "-W", "5", "10.0.2.2").stdout


def test_the_container_s_own_names_resolve(engine: Engine) -> None:
    output = engine.rl("run", "--rm", "busybox", "nslookup", "host.containers.internal", check=None).stdout
    assert "10.0.2.2" in output
    hosts = engine.rl("run", "--rm", "--hostname", "named", "busybox", "cat", "/etc/hosts").stdout
    assert "10.0.2.100\tnamed" in hosts


def test_without_a_network_there_is_only_loopback(engine: Engine) -> None:
    output = engine.rl("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net").stdout
    assert output.split() == ["lo"]
