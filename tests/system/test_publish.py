"""Published ports: who connects to the node reaches the container, which sees who it is."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.engine import Engine

# The node's Python, for busybox has no server that takes one connection after the other: echoes, or answers who has asked.
_NODE = ("-v", "/usr:/usr:ro", "-v", "/usr/lib:/lib:ro", "-v", "/usr/lib64:/lib64:ro", "busybox", "python3", "-I", "-S", "-c")
_SERVER = """
import socket, threading
def serve(connection, peer):
    while content := connection.recv(65536):
        connection.sendall("{}:{}".format(*peer).encode() if content == b"who" else content)
    connection.close()
def receive():
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("", 80))
    while True:
        content, peer = datagrams.recvfrom(65536)
        datagrams.sendto("{}:{}".format(*peer).encode() if content == b"who" else content, peer)
threading.Thread(target=receive).start()
with socket.create_server(("", 80), backlog=128) as listening:
    while True:
        threading.Thread(target=serve, args=listening.accept()).start()
"""


def _free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def run(engine: Engine) -> Iterator[Callable[..., str]]:
    """Start containers in the background; they are removed at the end."""
    started = []

    def start(*arguments: str) -> str:
        started.append(engine.rl("run", "-d", *arguments).stdout.strip())
        return started[-1]

    yield start
    if started:
        engine.rl("rm", "-f", *started)


def _ask(address: tuple[str, int], content: bytes = b"hello", source: str = "") -> bytes:
    """Send bytes over a connection and return what comes back until its end."""
    with socket.create_connection(address, timeout=20, source_address=(source, 0) if source else None) as connection:
        connection.sendall(content)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        return received


def _ports(engine: Engine, name: str) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = json.loads(engine.rl("inspect", name).stdout)[0]["NetworkSettings"]["Ports"]
    return found


def test_a_published_port_reaches_the_container_by_ipv4_and_ipv6(engine: Engine, run: Callable[..., str]) -> None:
    port = _free_port()
    run("--name", "web", "-p", f"{port}:80", *_NODE, _SERVER)
    assert _wait_for_echo(("127.0.0.1", port)) == b"hello"
    assert _wait_for_echo(("::1", port)) == b"hello"
    assert engine.rl("port", "web").stdout.splitlines() == [f"80/tcp -> 0.0.0.0:{port}", f"80/tcp -> [::]:{port}"]
    assert engine.rl("port", "web", "80").stdout.splitlines() == [f"0.0.0.0:{port}", f"[::]:{port}"]
    assert f"0.0.0.0:{port}->80/tcp, [::]:{port}->80/tcp" in engine.rl("ps").stdout
    assert _ports(engine, "web")["80/tcp"][0] == {"HostIp": "0.0.0.0", "HostPort": str(port)}
    failed = engine.rl("port", "web", "81", check=None)
    assert (failed.status, "No public port '81/tcp' published for web" in failed.stderr) == (1, True)


def _wait_for_echo(address: tuple[str, int]) -> bytes:
    """Ask again while the container's server is not listening, which resets the connection."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return _ask(address)
        except ConnectionResetError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_the_container_sees_the_address_and_the_port_of_who_connects(run: Callable[..., str]) -> None:
    """By the loopback's it sees the gateway; an address of the node's own stands for one outside."""
    port = _free_port()
    own = _own_address()
    run("-p", f"{port}:80", "-p", f"{port}:80/udp", *_NODE, _SERVER)
    _wait_for_echo(("127.0.0.1", port))
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for address, shown in (("127.0.0.1", "10.0.2.2"), *(((own, own),) if own else ())):
            with socket.socket(socket.AF_INET, kind) as asker:
                asker.settimeout(20)
                asker.connect((address, port))  # an answer from any other address is not taken
                asker.send(b"who")
                assert asker.recv(100).decode() == f"{shown}:{asker.getsockname()[1]}"


def _own_address() -> str:
    """Return an address of the node other than its loopback's, if there is one; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        address = str(probe.getsockname()[0])
    return "" if address.startswith(("127.", "10.0.2.")) else address


def test_data_is_whole_both_ways_and_half_closing_works(run: Callable[..., str]) -> None:
    port = _free_port()
    run("-p", f"127.0.0.1:{port}:80", *_NODE, _SERVER)
    _wait_for_echo(("127.0.0.1", port))
    content = os.urandom(1 << 20)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        received = b""
        connection.settimeout(30)
        for start in range(0, len(content), 65536):
            connection.sendall(content[start : start + 65536])
            received += connection.recv(65536)
        connection.shutdown(socket.SHUT_WR)
        while chunk := connection.recv(65536):
            received += chunk
    assert received == content


def test_a_port_in_use_is_an_error_before_anything_starts(engine: Engine, run: Callable[..., str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        free = _free_port()
        failed = engine.rl("run", "--name", "late", "-p", f"{free}:81", "-p", f"{port}:80", "busybox", "touch", "/ran", check=None)
        assert failed.status == 125
        assert f"cannot publish port 80/tcp at 0.0.0.0:{port}: the port is already in use" in failed.stderr
        assert engine.rl("inspect", "--format", "{{.State.Status}}", "late").stdout == "created\n"
    run("-p", f"127.0.0.1:{free}:80", "busybox", "sleep", "60")  # nothing of it was kept
    engine.rl("start", "-a", "late", check=None)
    engine.rl("rm", "late")


def test_a_privileged_port_names_the_setting(engine: Engine) -> None:
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as file:
        start = int(file.read())
    if start <= 81:
        pytest.skip("the node lets users bind ports below 81")
    failed = engine.rl("run", "--rm", "-p", "81:80", "busybox", "true", check=None)
    assert failed.status == 125
    assert f"ports below {start} are not for users on this node" in failed.stderr
    assert "sysctl net.ipv4.ip_unprivileged_port_start=81" in failed.stderr


def test_a_port_is_free_when_the_container_has_ended_and_bound_again_by_its_next_start(
    engine: Engine, run: Callable[..., str]
) -> None:
    port = _free_port()
    name = run("-p", f"127.0.0.1:{port}:80", *_NODE, _SERVER)
    for _ in range(3):
        assert _wait_for_echo(("127.0.0.1", port)) == b"hello"
        engine.rl("stop", "-t", "0", name)
        assert _ports(engine, name) == {}
        with pytest.raises(ConnectionRefusedError):
            _ask(("127.0.0.1", port))
        engine.rl("start", name)
    assert _wait_for_echo(("127.0.0.1", port)) == b"hello"


def test_ranges_and_ports_that_are_free(engine: Engine, run: Callable[..., str]) -> None:
    name = run("-p", "80", "-P", "--expose", "90/udp", *_NODE, _SERVER)
    ports = _ports(engine, name)
    assert sorted(ports) == ["80/tcp", "90/udp"]
    assert _wait_for_echo(("127.0.0.1", int(ports["80/tcp"][0]["HostPort"]))) == b"hello"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        first = taken.getsockname()[1]
        if first > 65530:
            first -= 5
        other = run("-p", f"127.0.0.1:{first}-{first + 4}:80", *_NODE, _SERVER)
        chosen = int(_ports(engine, other)["80/tcp"][0]["HostPort"])
        assert first <= chosen <= first + 4
        assert chosen != taken.getsockname()[1]
    assert _wait_for_echo(("127.0.0.1", chosen)) == b"hello"


def test_nobody_listening_in_the_container_resets_the_connection(run: Callable[..., str]) -> None:
    port = _free_port()
    run("-p", f"127.0.0.1:{port}:80", "busybox", "sleep", "60")
    with pytest.raises(ConnectionResetError), socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.recv(1)


def test_ports_outlive_a_killed_network_stack(engine: Engine, run: Callable[..., str]) -> None:
    port = _free_port()
    name = run("-p", f"127.0.0.1:{port}:80", *_NODE, _SERVER)
    assert _wait_for_echo(("127.0.0.1", port)) == b"hello"
    os.kill(_stack_of(int(engine.rl("inspect", "--format", "{{.State.Pid}}", name).stdout)), signal.SIGKILL)
    assert _wait_for_echo(("127.0.0.1", port)) == b"hello"


def _stack_of(init: int) -> int:
    """Return the PID of the slirp_net that has the same parent as a container's init."""
    with open(f"/proc/{init}/stat") as file:
        monitor = file.read().rpartition(")")[2].split()[1]
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                parent = file.read().rpartition(")")[2].split()[1]
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == monitor and b"slirp_net" in words:
            return int(pid)
    raise AssertionError("no slirp_net")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_datagrams_go_to_the_container_and_back(run: Callable[..., str], address: str) -> None:
    port = _free_port(socket.SOCK_DGRAM)
    run("-p", f"{port}:80/udp", "-p", f"{port}:80", *_NODE, _SERVER)
    _wait_for_echo((address, port))
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.settimeout(20)
        asker.connect((address, port))
        for content in (b"", b"one", os.urandom(1472), os.urandom(40_000)):
            asker.send(content)
            assert asker.recv(65536) == content


def test_networks_without_ports_say_so(engine: Engine, run: Callable[..., str]) -> None:
    for network in ("none", "host"):
        result = engine.rl("run", "--rm", "--network", network, "-p", "8080:80", "busybox", "true")
        assert f"published ports are discarded with --network {network}" in result.stderr
    other = run("busybox", "sleep", "60")
    failed = engine.rl("run", "--rm", "--network", f"container:{other}", "-p", "8080:80", "busybox", "true", check=None)
    assert (failed.status, "conflicting options: port publishing and the network mode" in failed.stderr) == (125, True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("8080:80/sctp", "invalid proto"), ("8080:", "no port specified"), ("99999:80", "invalid hostPort"),
     ("1.2.3:80:80", "invalid IP address"), ("::1:80:80", "in brackets"), ("1-3:80-81", "invalid ranges")],
)  # fmt: skip
def test_bad_ports_are_refused(engine: Engine, text: str, complaint: str) -> None:
    failed = engine.rl("run", "--rm", "-p", text, "busybox", "true", check=None)
    assert (failed.status, complaint in failed.stderr) == (125, True), failed.stderr
