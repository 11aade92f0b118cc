"""Names in a container of the whole `rl`, with a name server on a node made up: only root can make it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.name_server import NameServer
from tests.support.test_user import USER

_PREPARE = 'ip link set lo up && mount --bind "$0" /etc/resolv.conf && exec "$@"'


class _OnNode(Engine):
    """Runs each command in the mount and network namespaces of the process `node`."""

    node = 0

    def wrapper(self) -> list[str]:
        """See `Engine`."""
        account = [f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--init-groups"]
        return ["nsenter", "--target", str(self.node), "--mount", "--net", "setpriv", *account, "--"]


@pytest.fixture
def on_node(engine: Engine, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a node that has nothing but its loopback, a name server, and a resolv.conf that asks it."""
    if os.getuid() != 0:
        pytest.skip("only root can make a node up")
    resolv_conf = engine.folder / "resolv.conf"
    resolv_conf.write_text("nameserver 127.0.0.53\nsearch nowhere.test example.test\noptions attempts:2\n")
    through = ["unshare", "--mount", "--net", "--propagation", "private", "bash", "-c", _PREPARE, str(resolv_conf)]
    with NameServer(through, tmp_path / "log", "127.0.0.53") as server:
        made = _OnNode(engine.folder)
        made.node = server.pid
        yield made


def test_names_are_those_of_the_node(on_node: Engine) -> None:
    script = "cat /etc/resolv.conf; nslookup web; nslookup -type=aaaa web.example.test; nslookup nothing.example.test"
    output = on_node.rl("run", "--rm", "busybox", "sh", "-c", script, check=1).stdout
    assert output.startswith("nameserver 10.0.2.3\nsearch nowhere.test example.test\noptions attempts:2\n")
    assert "Address: 192.0.2.10" in output
    assert "Address: 2001:db8::10" in output
    assert "can't find nothing.example.test: NXDOMAIN" in output


def test_options_say_otherwise(on_node: Engine) -> None:
    asked = ("--dns-search", "example.test", "--dns-option", "ndots:3")
    output = on_node.rl("run", "--rm", *asked, "busybox", "sh", "-c", "cat /etc/resolv.conf; nslookup web").stdout
    assert output.startswith("nameserver 10.0.2.3\nsearch example.test\noptions ndots:3\n")
    assert "Address: 192.0.2.10" in output
    result = on_node.rl("run", "--rm", "--dns-search", ".", "busybox", "nslookup", "web", check=1)
    assert "can't find web" in result.stdout
    script = "cat /etc/resolv.conf; nslookup web.example.test"
    output = on_node.rl("run", "--rm", "--dns", "10.0.2.3", "--dns", "192.0.2.9", "busybox", "sh", "-c", script).stdout
    assert output.startswith("nameserver 10.0.2.3\nnameserver 192.0.2.9\nsearch ")
    assert "Address: 192.0.2.10" in output


def test_none_leaves_the_image_s_file(on_node: Engine) -> None:
    result = on_node.rl("run", "--rm", "--dns", "none", "busybox", "cat", "/etc/resolv.conf", check=None)
    assert "nameserver" not in result.stdout
