"""Nodes that lack something: subordinate IDs, devices, space. A clear error with a hint, and nothing half made.

Each node is a mount namespace of root's own in which something is hidden; `rl` runs in it as the unprivileged user.
"""

import os
import shlex
import subprocess
from collections.abc import Callable

import pytest

from tests.support.engine import COMMAND, Engine, Result
from tests.support.test_user import USER

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="hides the node's files and devices from itself: needs root")

NONE = ("--network", "none")
Runner = Callable[..., Result]


@pytest.fixture
def on_node(engine: Engine) -> Runner:
    """Return what runs a shell script as root in a mount namespace and then `rl` in it as the user."""

    def run(preparation: str, *arguments: str, before: str = "") -> Result:
        become = f"setpriv --reuid {USER.pw_uid} --regid {USER.pw_gid} --init-groups"
        command = shlex.join([*COMMAND, *arguments])
        steps = [preparation, *([f"{become} sh -c {shlex.quote(before)}"] if before else []), f"exec {become} {command}"]
        script = "\n".join(["set -e", *steps])
        wrapped = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
        ended = subprocess.run(wrapped, env=engine.environment, cwd="/", capture_output=True, text=True, timeout=60, check=False)
        assert "Traceback" not in ended.stderr, ended.stderr
        return Result(ended.returncode, ended.stdout, ended.stderr)

    return run


def _closed(path: str) -> str:
    """Return a script that puts a device with mode 0600 of root's at `path`."""
    return f"n=$(mktemp); chmod 600 $n; mount --bind $n {path}; rm $n"


def test_without_a_subordinate_range_one_id_is_mapped_with_a_warning(on_node: Runner) -> None:
    hide = "mount --bind /dev/null /etc/subuid"
    result = on_node(hide, "run", "--rm", *NONE, "busybox", "sh", "-c", "id -u; wc -l < /proc/self/uid_map; touch /x && echo ok")
    assert (result.status, result.stdout.split()) == (0, ["0", "1", "ok"])
    assert "rl: warning: you have no subordinate IDs" in result.stderr
    result = on_node(hide, "run", "--rm", *NONE, "-u", "1000", "busybox", "id")
    assert result.status == 125
    assert "1000" in result.stderr
    assert "hint: " in result.stderr


def test_newuidmap_that_refuses_is_quoted(on_node: Runner) -> None:
    make_helper = "f=$(mktemp); printf '#!/bin/sh\\necho refused by test >&2\\nexit 1\\n' > $f; chmod 755 $f"
    other_range = f"r=$(mktemp); echo {USER.pw_name}:300000:65536 > $r; chmod 644 $r; mount --bind $r /etc/subuid"
    result = on_node(f"{make_helper}; mount --bind $f $(which newuidmap); {other_range}", "run", "--rm", *NONE, "busybox", "true")
    assert result.status == 125
    assert "refused by test" in result.stderr
    assert "hint: " in result.stderr


@pytest.mark.parametrize("hide", [_closed("/dev/net/tun"), "mount -t tmpfs none /dev/net"], ids=["closed", "missing"])
def test_a_tap_that_is_asked_for_is_named(on_node: Runner, engine: Engine, hide: str) -> None:
    """Without asking there would be another device (test_no_tun)."""
    result = on_node(hide, "run", "--rm", "--network", "slirp:device=tap", "busybox", "true")
    assert result.status == 125
    assert "/dev/net/tun" in result.stderr
    assert "hint: " in result.stderr
    assert engine.rl("ps", "-aq").stdout == ""
    assert on_node(hide, "run", "--rm", *NONE, "busybox", "echo", "ok").stdout == "ok\n"


def test_a_closed_fuse_device_is_named(on_node: Runner) -> None:
    engine_options = ("--storage-driver", "fuse")
    result = on_node(_closed("/dev/fuse"), *engine_options, "run", "--rm", *NONE, "busybox", "true")
    assert result.status == 125
    assert "/dev/fuse" in result.stderr
    assert "hint: " in result.stderr


def test_an_unknown_driver_is_refused(engine: Engine) -> None:
    result = engine.rl("--storage-driver", "nosuch", "run", "--rm", *NONE, "busybox", "true", check=125)
    assert "unknown storage driver: nosuch" in result.stderr


def _small_disk(engine: Engine) -> str:
    """Return a script that puts the data root on a tmpfs with little room left."""
    size = 8 << 20
    return "\n".join([
        f"mount -t tmpfs -o size={size},uid={USER.pw_uid},gid={USER.pw_gid},mode=755 tmpfs /mnt",
        f"cp -a {engine.data_root} /mnt/d",
        "export RL_ROOT=/mnt/d",
    ])


def test_a_full_disk_is_an_error_that_names_the_place_and_leaves_nothing(on_node: Runner, engine: Engine) -> None:
    fill = "dd if=/dev/zero of=/mnt/d/fill bs=1k 2>/dev/null || true"
    listing = "find /mnt/d/containers /mnt/d/names -mindepth 1"
    result = on_node(_small_disk(engine), "run", "--rm", *NONE, "busybox", "true", before=fill)
    assert result.status == 125
    assert "No space left on device: /mnt/d" in result.stderr
    assert "hint: free some space" in result.stderr
    run = shlex.join([*COMMAND, "run", *NONE, "busybox", "true"])
    after = on_node(f"{_small_disk(engine)}", "ps", "-aq", before=f"{fill}; {run} || true; {listing}")
    assert "containers/" not in after.stdout


@pytest.mark.parametrize("driver", ["overlay", "fuse"])
def test_a_container_that_fills_the_disk_ends_with_its_own_status(on_node: Runner, engine: Engine, driver: str) -> None:
    engine.environment["RL_STORAGE_DRIVER"] = driver
    script = "dd if=/dev/zero of=/big bs=1M; echo still here; exit 5"
    result = on_node(_small_disk(engine), "run", "--rm", *NONE, "busybox", "sh", "-c", script)
    assert (result.status, result.stdout) == (5, "still here\n")
    assert "No space left on device" in result.stderr


@pytest.mark.parametrize("driver", ["overlay", "fuse"])
def test_a_full_disk_does_not_lose_the_exit_status(on_node: Runner, engine: Engine, driver: str) -> None:
    engine.environment["RL_STORAGE_DRIVER"] = driver
    fill = ("sh", "-c", "dd if=/dev/zero of=/big bs=1k; exit 5")
    run = shlex.join([*COMMAND, "run", "--name", "box", *NONE, "busybox", *fill])
    shown = "{{.State.Status}} {{.State.ExitCode}}"
    result = on_node(_small_disk(engine), "inspect", "box", "--format", shown, before=f"{run} || true")
    assert result.stdout.split()[-2:] == ["exited", "5"]
