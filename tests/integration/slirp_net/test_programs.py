"""Programs that others wrote, over both kinds of device: iperf3, curl, apt-get."""

import functools
import hashlib
import http.server
import json
import os
import shlex
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.slirp_net.container import GATEWAY, Container

_PIECE = 1 << 20


@pytest.fixture(params=["tap", "veth"])
def made(request: pytest.FixtureRequest) -> Iterator[Container]:
    """A container with each kind of device, MTU 1500."""
    with Container(1500, device=request.param) as container:
        yield container.start()


def run_inside(container: Container, *command: str, cwd: str = "/") -> str:
    """Run a command inside, which succeeds, and return its output."""
    done: subprocess.CompletedProcess[str] = container.run(
        lambda: subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, cwd=cwd)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Requests(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, and a stream of N bytes at /stream/N; hashes what it is sent."""

    piece = os.urandom(_PIECE)

    def do_GET(self) -> None:
        if not self.path.startswith("/stream/"):
            super().do_GET()
            return
        self.send_response(200)
        size = int(self.path.rpartition("/")[2])
        self.send_header("Content-Length", str(size))
        self.end_headers()
        for _ in range(size // _PIECE):
            self.wfile.write(self.piece)

    def do_PUT(self) -> None:
        digest = hashlib.sha256()
        for _ in range(int(self.headers["Content-Length"]) // _PIECE):
            digest.update(self.rfile.read(_PIECE))
        text = digest.hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep quiet."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The URL of a server of `tmp_path` on the host's loopback, as the container has it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Requests, directory=str(tmp_path))) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://{GATEWAY}:{running.server_address[1]}"
        running.shutdown()
        thread.join()


def test_curl_fetches_and_sends_at_the_same_time(made: Container, web: str) -> None:
    """A GiB each way through a tap, less through the other device."""
    size = 1 << (30 if made.device == "tap" else 27)
    expected = hashlib.sha256()
    for _ in range(size // _PIECE):
        expected.update(Requests.piece)
    # An upload of unknown length would be chunked: its length is told.
    fetch = f"set -o pipefail; curl -sS --fail {web}/stream/{size} | tee >(sha256sum >&2) | curl -sS --fail -T - -H 'Expect:' "
    fetch = f"{fetch} -H 'Transfer-Encoding:' -H 'Content-Length: {size}' {web}/sent"
    done: subprocess.CompletedProcess[str] = made.run(
        lambda: subprocess.run(["bash", "-c", fetch], capture_output=True, text=True, timeout=90, check=False)
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected.hexdigest(), "sent"
    assert done.stderr.split()[0] == expected.hexdigest(), "fetched"


def make_mirror(folder: Path) -> str:
    """Make a flat repository of one package, with a Release file, and return the digest of the package."""
    package = folder / "package"
    (package / "DEBIAN").mkdir(parents=True)
    fields = "Package: probe\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\nDescription: a probe\n"
    (package / "DEBIAN" / "control").write_text(fields)
    (package / "content").write_bytes(os.urandom(_PIECE))
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", package, folder / "probe.deb"], check=True, capture_output=True)
    content = (folder / "probe.deb").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    index = f"{fields}Filename: ./probe.deb\nSize: {len(content)}\nSHA256: {digest}\n"
    (folder / "Packages").write_text(index)
    of_index = hashlib.sha256(index.encode()).hexdigest()
    (folder / "Release").write_text(f"Date: Fri, 27 Nov 2020 00:00:00 UTC\nSHA256:\n {of_index} {len(index)} Packages\n")
    return digest


def update_and_download(url: str) -> str:
    """Have apt-get, with state of its own, read the mirror and fetch its package; returns what it said and the package's digest."""
    with tempfile.TemporaryDirectory() as state:
        for folder in ("lists/partial", "cache/archives/partial", "etc"):
            os.makedirs(f"{state}/{folder}")
        Path(f"{state}/etc/sources.list").write_text(f"deb [trusted=yes] {url}/ ./\n")
        places = {"State": "", "State::lists": "/lists", "Cache": "/cache", "Etc": "/etc"}
        options = [*(f"-oDir::{name}={state}{place}" for name, place in places.items()), "-oAcquire::http::Proxy=false"]
        command = ["apt-get", *options, "-oAPT::Sandbox::User="]
        script = f"{shlex.join([*command, 'update'])} && {shlex.join([*command, 'download', 'probe'])} && sha256sum *.deb"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False, cwd=state)
        return done.stdout + done.stderr


def test_apt_reads_a_mirror_and_fetches_a_package(made: Container, web: str, tmp_path: Path) -> None:
    digest = make_mirror(tmp_path)
    output = made.run(lambda: update_and_download(web))
    assert digest in output
    assert "Err:" not in output


@pytest.fixture
def iperf() -> Iterator[int]:
    """The port of an iperf3 server on the host's loopback."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["iperf3", "--server", "--bind", "127.0.0.1", "--port", str(port), "--forceflush"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        while "listening" not in server.stdout.readline():
            assert server.poll() is None
        yield port
        server.terminate()
        server.stdout.read()


def iperf3(container: Container, port: int, *options: str) -> dict[str, Any]:
    text = run_inside(container, "iperf3", "--client", GATEWAY, "--port", str(port), "--time", "1", "--json", *options)
    end: dict[str, Any] = json.loads(text)["end"]
    return end


@pytest.mark.parametrize("options", [(), ("--reverse",), ("--bidir",), ("--parallel", "8")], ids=["out", "in", "both", "eight"])
def test_iperf3_by_tcp(made: Container, iperf: int, options: tuple[str, ...]) -> None:
    end = iperf3(made, iperf, *options)
    assert end["sum_received"]["bytes"] > 1 << 24
    if "--bidir" in options:
        assert end["sum_received_bidir_reverse"]["bytes"] > 1 << 24


@pytest.mark.parametrize("options", [(), ("--reverse",)], ids=["out", "in"])
@pytest.mark.parametrize("size", ["1400", "20000"])
def test_iperf3_by_udp(made: Container, iperf: int, options: tuple[str, ...], size: str) -> None:
    end = iperf3(made, iperf, "--udp", "--bitrate", "20M", "--length", size, *options)
    assert end["sum"]["packets"] > 50
    assert end["sum"]["lost_percent"] < 10
