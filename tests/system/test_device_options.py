"""--device, --ulimit, --sysctl and --oom-score-adj, seen from inside the container."""

import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import Engine

NONE = ("--network", "none")


def host_config(engine: Engine, container: str) -> dict[str, Any]:
    (document,) = json.loads(engine.rl("inspect", container).stdout)
    found: dict[str, Any] = document["HostConfig"]
    return found


def inside(engine: Engine, *options: str, script: str) -> list[str]:
    return engine.rl("run", "--rm", *NONE, *options, "busybox", "sh", "-c", script).stdout.split()


def test_a_device_is_the_node_s(engine: Engine) -> None:
    number = os.stat("/dev/fuse").st_rdev
    expected = f"{os.major(number):x}:{os.minor(number):x}"
    for device, path in (
        ("/dev/fuse", "/dev/fuse"),
        ("/dev/fuse:/dev/other/name:rw", "/dev/other/name"),
        ("/dev/fuse:rwm", "/dev/fuse"),
    ):
        script = f"stat -c %t:%T {path}; exec 5<>{path} && echo opened"
        assert inside(engine, "--device", device, script=script) == [expected, "opened"]
    engine.rl("create", "--name", "box", "--device", "/dev/fuse:/dev/x:rw", "busybox", "true")
    assert host_config(engine, "box")["Devices"] == [
        {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/x", "CgroupPermissions": "rw"}
    ]


def test_a_folder_of_devices(engine: Engine) -> None:
    found = inside(engine, "--device", "/dev/net", script="ls /dev/net; test -c /dev/net/tun && echo device")
    assert found == [*sorted(os.listdir("/dev/net")), "device"]
    assert inside(engine, "--device", "/dev/net:/dev/elsewhere", script="ls /dev/elsewhere") == sorted(os.listdir("/dev/net"))


def test_no_more_than_the_user_may(engine: Engine) -> None:
    if os.access("/dev/kmsg", os.F_OK) and os.getuid() == 0 and Path("/dev/kmsg").stat().st_mode & 0o006 == 0:
        script = "exec 5>/dev/kmsg"
        result = engine.rl("run", "--rm", *NONE, "--device", "/dev/kmsg", "busybox", "sh", "-c", script, check=None)
        assert result.status != 0
        assert "ermission denied" in result.stderr


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--device", "/dev/nonsense"), 'adding custom device "/dev/nonsense": no such file or directory'),
        (("--device", "/etc/passwd"), 'adding custom device "/etc/passwd": not a device node'),
        (("--device", "/etc"), "no devices in that folder"),
        (("--device", "/dev/fuse:/dev/x:z"), "bad mode specified: z"),
        (("--device", "/dev/fuse:relative"), "relative is not an absolute path"),
        (("--device", "a:b:c:d"), "invalid device specification: a:b:c:d"),
        (("--device", "vendor.com/gpu=all"), "CDI devices are not supported"),
        (("--device", "/dev/fuse:/dev/fuse:r"), "writing cannot be taken away by a user"),
        (("--ulimit", "nofile"), "invalid ulimit argument: nofile"),
        (("--ulimit", "nonsense=1"), "invalid ulimit type: nonsense"),
        (("--ulimit", "nofile=2:1"), "ulimit soft limit must be less than or equal to hard limit: 2 > 1"),
        (("--ulimit", "nofile=x"), "invalid ulimit argument: nofile=x"),
        (("--ulimit", "host", "--ulimit", "nofile=5"), "ulimits can use host only once"),
        (("--sysctl", "nonsense"), "invalid sysctl: 'nonsense'"),
        (("--sysctl", "kernel.printk=1"), "--sysctl kernel.printk: belongs to no namespace"),
        (("--sysctl", "net.ipv4.ip_forward=1", "--network", "host"), "belongs to the network namespace, which is the node's here"),
        (("--oom-score-adj", "1001"), "range for oom score adj is [-1000, 1000]"),
    ],
)
def test_errors(engine: Engine, options: tuple[str, ...], text: str) -> None:
    assert text in engine.rl("create", *options, "busybox", "true", check=1).stderr
    assert engine.rl("ps", "-aq").stdout == ""


def test_a_device_that_is_gone_at_the_start(engine: Engine) -> None:
    link = engine.folder / "link"
    link.symlink_to("/dev/fuse")
    engine.rl("create", "--name", "box", *NONE, "--device", f"{link}:/dev/x", "busybox", "test", "-c", "/dev/x")
    engine.rl("start", "-a", "box")
    link.unlink()
    assert f'adding custom device "{link}": no such file or directory' in engine.rl("start", "box", check=1).stderr


def test_limits(engine: Engine) -> None:
    script = "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc; ulimit -Su"
    options = ("--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "RLIMIT_NPROC=300")
    engine.rl("run", "-d", "--name", "box", *NONE, *options, "busybox", "sleep", "1000")
    assert engine.rl("exec", "box", "sh", "-c", script).stdout.split() == ["100", "200", "0", "0", "300"]
    assert inside(engine, *options, script=script) == ["100", "200", "0", "0", "300"]
    assert {"Name": "nofile", "Hard": 200, "Soft": 100} in host_config(engine, "box")["Ulimits"]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert inside(engine, "--ulimit", "host", script="ulimit -Sn; ulimit -Hn") == [str(soft), str(hard)]


def test_a_limit_above_the_user_s_own_is_refused(engine: Engine) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    result = engine.rl("run", "--rm", *NONE, "--ulimit", f"nofile={hard + 1}", "busybox", "true", check=125)
    assert (
        f"cannot set RLIMIT_NOFILE to {hard + 1} (soft) and {hard + 1} (hard): not allowed to raise maximum limit" in result.stderr
    )
    assert f"a user may not raise a hard limit, which is {hard} here" in result.stderr
    assert engine.rl("ps", "-aq").stdout == ""


def test_sysctls(engine: Engine) -> None:
    options = ("--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.shmmni=77", "--sysctl", "net/ipv4/ip_default_ttl=33")
    script = "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni /proc/sys/net/ipv4/ip_default_ttl"
    engine.rl("run", "--name", "box", *NONE, *options, "busybox", "sh", "-c", script)
    assert engine.rl("logs", "box").stdout.split() == ["1", "77", "33"]
    assert host_config(engine, "box")["Sysctls"]["kernel.shmmni"] == "77"


def test_the_score_of_the_oom_killer(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "box", *NONE, "--oom-score-adj", "500", "busybox", "sleep", "1000")
    assert engine.rl("exec", "box", "cat", "/proc/1/oom_score_adj", "/proc/self/oom_score_adj").stdout.split() == ["500", "500"]
    assert host_config(engine, "box")["OomScoreAdj"] == 500
    own = int(Path("/proc/self/oom_score_adj").read_text())
    if own > -1000:
        result = engine.rl("run", "--rm", *NONE, "--oom-score-adj", "-1000", "busybox", "true", check=125)
        assert "oomScoreAdj: cannot set -1000" in result.stderr
