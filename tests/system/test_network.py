"""The default network of `rl run`: a private stack that reaches the outside, and nothing of the node that is not allowed."""

import hashlib
import http.server
import os
import socket
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


def test_ipv6_reaches_the_node_s_loopback_when_allowed(engine: Engine) -> None:
    """The name server, asked by IPv6, stands for datagrams: busybox has no program that sends any."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as stream:
        stream.settimeout(30)

        def serve() -> None:
            connection, _ = stream.accept()
            with connection:
                connection.sendall(connection.recv(100).upper())

        server = threading.Thread(target=serve)
        server.start()
        script = (
            "ping -6 -c 1 -W 5 fd00::2; nslookup host.containers.internal fd00::3; "
            f"echo stream | nc -w 5 fd00::2 {stream.getsockname()[1]}"
        )
        options = ("--network", "slirp:ipv6=true,allow_host_loopback=true")
        output = engine.rl("run", "--rm", *options, "busybox", "sh", "-c", script, check=None).stdout
        server.join()
    assert "1 packets received" in output
    assert "10.0.2.2" in output
    assert "STREAM" in output


def test_ipv6_does_not_reach_the_node_s_loopback_unasked(engine: Engine) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as stream:
        port = str(stream.getsockname()[1])
        for address in ("fd00::2", "::1"):
            result = engine.rl("run", "--rm", "--network", "slirp:ipv6=true", "busybox", "nc", "-w", "3", address, port, check=None)
            assert result.status != 0, address


def test_ipv6_is_there_as_asked_for(engine: Engine) -> None:
    def route(*options: str) -> str:
        return engine.rl("run", "--rm", *options, "busybox", "ip", "-6", "route").stdout

    assert "default via fd00::2" in route("--network", "slirp4netns:enable_ipv6=true")
    assert "default" not in route("--network", "slirp:ipv6=false")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as outside:  # by itself: as the node has it
        has_route = outside.connect_ex(("2001:db8::1", 9)) == 0
    assert ("default via fd00::2" in route()) == has_route


def test_ipv6_with_too_small_an_mtu_is_an_error(engine: Engine) -> None:
    result = engine.rl("run", "--rm", "--network", "slirp:mtu=1000,ipv6=true", "busybox", "true", check=None)
    assert result.status == 125
    assert "IPv6 needs an MTU of at least 1280" in result.stderr
