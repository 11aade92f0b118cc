"""ssh from a container to a server of the user's own on the host's loopback: bytes both ways, exit statuses, forwarded ports."""

import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.integration.slirp_net.container import GATEWAY, Container
from tests.integration.slirp_net.outside import listener
from tests.support.test_user import USER, drop_privileges

SSHD = "/usr/sbin/sshd"
SIZE = 64 << 20
pytestmark = pytest.mark.skipif(not shutil.which(SSHD), reason="no sshd")


class Server(NamedTuple):
    """A running sshd, and the client's command up to what it is to do there."""

    port: int
    command: list[str]


@pytest.fixture
def sshd() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, USER.pw_uid, USER.pw_gid)
        yield from _serve(Path(folder))


def _serve(folder: Path) -> Iterator[Server]:
    for name in ("host", "user"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True, **drop_privileges())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {
        "ListenAddress": f"127.0.0.1:{port}", "HostKey": folder / "host", "AuthorizedKeysFile": folder / "user.pub",
        "PidFile": "none", "UsePAM": "no", "StrictModes": "no",
    }  # fmt: skip
    arguments = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    arguments = [SSHD, "-D", "-e", "-f", "/dev/null", *arguments]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, **drop_privileges()) as server:
        assert server.stderr is not None
        try:
            line = ""
            while "listening" not in line:
                line = server.stderr.readline()
                assert line, "sshd has ended"
            client = ["-F", "none", "-i", str(folder / "user"), "-p", str(port), "-o", "StrictHostKeyChecking=no"]
            quiet = ["-o", f"UserKnownHostsFile={folder / 'known'}", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"]
            yield Server(port, ["ssh", *client, *quiet, f"{USER.pw_name}@{GATEWAY}"])
        finally:
            server.terminate()


def test_bytes_go_there_and_come_back(plain: Container, sshd: Server) -> None:
    def copy() -> tuple[str, str]:
        data = os.urandom(1 << 20) * (SIZE >> 20)
        done = subprocess.run([*sshd.command, "cat"], input=data, capture_output=True, timeout=80, check=True)
        return hashlib.sha256(data).hexdigest(), hashlib.sha256(done.stdout).hexdigest()

    sent, received = plain.run(copy)
    assert sent == received


def test_commands_end_as_they_do_there(plain: Container, sshd: Server) -> None:
    def ask() -> tuple[int, str, str]:
        command = [*sshd.command, "echo $SSH_CLIENT; exit 7"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    status, output, errors = plain.run(ask)
    assert status == 7, errors
    assert output.split()[::2] == ["127.0.0.1", str(sshd.port)]


def test_a_port_is_forwarded(plain: Container, sshd: Server) -> None:
    """A connection in a connection."""

    def through() -> bytes:
        command = [*sshd.command, "-W", f"127.0.0.1:{port}"]
        return subprocess.run(command, input=b"question", capture_output=True, timeout=60, check=True).stdout

    with listener() as (server, port):
        finish = plain.begin(through)
        connection, _ = server.accept()
        with connection:
            assert connection.recv(100) == b"question"
            connection.sendall(b"answer")
        assert finish.result() == b"answer"
