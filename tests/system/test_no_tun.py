"""Nodes without /dev/net/tun, or with one that the user may not open: the network works all the same, over a veth pair."""

import os

import pytest

from tests.support.engine import Engine
from tests.support.test_user import USER

_HIDDEN = {
    "missing": "mount -t tmpfs none /dev/net",
    "closed": "mount -t tmpfs none /dev/net && touch /dev/net/tun && chmod 0600 /dev/net/tun",
}


class _WithoutTun(Engine):
    """Runs commands where the device is hidden; only root can hide it."""

    how = ""

    def wrapper(self) -> list[str]:
        """See `Engine`."""
        script = f'{_HIDDEN[self.how]} && exec setpriv --reuid="$0" --regid="$1" --init-groups -- "${{@:2}}"'
        return ["unshare", "--mount", "--propagation", "private", "bash", "-c", script, str(USER.pw_uid), str(USER.pw_gid)]


@pytest.fixture(params=list(_HIDDEN))
def without_tun(engine: Engine, request: pytest.FixtureRequest) -> Engine:
    if os.getuid() != 0:
        pytest.skip("only root can hide a device")
    made = _WithoutTun(engine.folder)
    made.how = request.param
    return made


def test_a_container_has_a_network(without_tun: Engine) -> None:
    script = "cat /sys/class/net/eth0/mtu; ping -c 1 -W 5 10.0.2.2; ip addr show eth0; ls /sys/class/net"
    output = without_tun.rl("run", "--rm", "--network", "slirp:mtu=1500", "busybox", "sh", "-c", script).stdout
    assert output.startswith("1500\n")
    assert "1 packets received" in output
    assert "02:00:0a:00:02:64" in output
    assert "10.0.2.100/24" in output
    assert output.endswith("\neth0\nlo\n")


@pytest.mark.parametrize("device", ["tap", "veth"])
def test_each_kind_can_be_asked_for(engine: Engine, device: str) -> None:
    script = "ping -c 1 -W 5 10.0.2.2 && cat /sys/class/net/eth0/uevent && test -e /sys/class/net/eth0/tun_flags && echo is a tap"
    asked = ("--network", f"slirp:device={device}")
    output = engine.rl("run", "--rm", *asked, "busybox", "sh", "-c", script, check=0 if device == "tap" else 1).stdout
    assert "1 packets received" in output
    assert ("is a tap" in output) == (device == "tap")
    assert "unknown" not in engine.rl("run", "--rm", "--network", "slirp:device=tun", "busybox", "true", check=125).stderr


def test_the_stack_is_started_again_on_a_veth_pair(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "box", "--network", "slirp:device=veth", "busybox", "sleep", "100")
    os.kill(engine.helper("box", "slirp_net"), 9)
    assert "1 packets received" in engine.rl("exec", "box", "ping", "-c", "1", "-W", "10", "10.0.2.2").stdout
    engine.rl("rm", "-f", "box")
