"""--cap-add, --cap-drop, --privileged, --security-opt: what a process in the container can do, and what its `exec` gets."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rootless.linux import capabilities
from rootless.runtime.security import DEFAULT_CAPABILITIES, MASKED_PATHS, READONLY_PATHS
from tests.support.engine import Engine
from tests.support.one_id import OneIdEngine
from tests.support.test_user import USER

NONE = ("--network", "none")
STATUS = ("busybox", "grep", "-E", "^(Cap|Seccomp:|NoNewPrivs)", "/proc/self/status")
ALL = (1 << (capabilities.last_capability() + 1)) - 1
DEFAULT = capabilities.to_mask(DEFAULT_CAPABILITIES)


def fields(text: str) -> dict[str, int]:
    """Return what /proc/self/status says, as numbers."""
    pairs = (line.split(":") for line in text.splitlines())
    return {name: int(value, 16) for name, value in pairs}


def status(engine: Engine, *options: str) -> dict[str, int]:
    """Return the status of a process in a new container."""
    return fields(engine.rl("run", "--rm", *NONE, *options, *STATUS).stdout)


def host_config(engine: Engine, container: str) -> dict[str, Any]:
    (document,) = json.loads(engine.rl("inspect", container).stdout)
    found: dict[str, Any] = document["HostConfig"]
    return found


def may_open(device: os.stat_result, groups: set[int]) -> bool:
    """Tell whether the test user may open a device for reading or writing."""
    shift = 6 if device.st_uid == USER.pw_uid else 3 if device.st_gid in groups else 0
    return bool(device.st_mode >> shift & 0o6)


def mask_of(*names: str) -> int:
    return capabilities.to_mask(names)


@pytest.mark.parametrize(
    ("options", "mask"),
    [
        (("--cap-add", "net_admin"), DEFAULT | mask_of("CAP_NET_ADMIN")),
        (("--cap-add", "CAP_SYS_PTRACE,Sys_Time"), DEFAULT | mask_of("CAP_SYS_PTRACE", "CAP_SYS_TIME")),
        (("--cap-drop", "CHOWN", "--cap-drop", "cap_kill"), DEFAULT & ~mask_of("CAP_CHOWN", "CAP_KILL")),
        (("--cap-drop", "all"), 0),
        (("--cap-drop", "ALL", "--cap-add", "chown"), mask_of("CAP_CHOWN")),
        (("--cap-add", "ALL"), ALL),
        (("--cap-add", "all", "--cap-drop", "MKNOD"), ALL & ~mask_of("CAP_MKNOD")),
    ],
)
def test_capabilities(engine: Engine, options: tuple[str, ...], mask: int) -> None:
    found = status(engine, *options)
    assert found["CapBnd"] == found["CapEff"] == found["CapPrm"] == mask
    assert found["Seccomp"] == 2
    if "ALL" not in options and "all" not in options:  # a user has the bounding set only
        found = status(engine, "-u", "9", *options)
        assert (found["CapBnd"], found["CapEff"]) == (mask, 0)


def test_an_added_capability_works_also_in_exec_and_is_shown(engine: Engine) -> None:
    mount = ("mount", "-t", "tmpfs", "none", "/mnt")
    engine.rl("run", "--rm", *NONE, "busybox", *mount, check=1)
    options = ("--cap-add", "sys_admin", "--cap-drop", "chown")
    engine.rl("run", "-d", "--name", "box", *NONE, *options, "busybox", "sleep", "1000")
    engine.rl("exec", "box", *mount)
    assert "not permitted" in engine.rl("exec", "box", "chown", "5", "/tmp", check=1).stderr
    found = fields(engine.rl("exec", "box", *STATUS[1:]).stdout)
    assert found["CapEff"] == DEFAULT & ~mask_of("CAP_CHOWN") | mask_of("CAP_SYS_ADMIN")
    shown = host_config(engine, "box")
    assert (shown["CapAdd"], shown["CapDrop"], shown["Privileged"]) == (["CAP_SYS_ADMIN"], ["CAP_CHOWN"], False)


def test_privileged(engine: Engine) -> None:
    options = ("run", "-d", "--name", "box", "--privileged", *NONE, "--hostname", "one", "busybox", "sleep", "1000")
    engine.rl(*options)
    found = fields(engine.rl("exec", "box", *STATUS[1:]).stdout)
    assert (found["CapEff"], found["CapBnd"], found["Seccomp"]) == (ALL, ALL, 0)
    engine.rl("exec", "box", "mount", "-t", "tmpfs", "none", "/mnt")
    mounts = engine.rl("exec", "box", "cat", "/proc/mounts").stdout
    by_target = {line.split()[1]: line.split()[3].split(",") for line in mounts.splitlines()}
    assert not {target for target in by_target if target.startswith(("/proc/", "/sys/firmware"))}
    assert "rw" in by_target["/sys"]
    # The power is the user namespace's, and no more than the user's: the node's settings stay as they are.
    assert "ermission denied" in engine.rl("exec", "box", "sh", "-c", "echo 1 > /proc/sys/kernel/printk", check=1).stderr
    assert "ermission denied" in engine.rl("exec", "box", "sh", "-c", "echo 1 > /proc/sys/vm/drop_caches", check=1).stderr
    assert engine.rl("exec", "box", "mknod", "/node", "b", "8", "0", check=1).stderr
    shown = host_config(engine, "box")
    assert (shown["Privileged"], shown["MaskedPaths"], shown["ReadonlyPaths"]) == (True, [], [])
    inside = set(engine.rl("exec", "box", "find", "/dev", "-type", "c", "-o", "-type", "b").stdout.split())
    assert "/dev/fuse" in inside
    result = engine.rl("run", "--rm", "--privileged", "--network", "host", "busybox", "grep", " /sys ", "/proc/mounts")
    assert "rw" in result.stdout.split()[3].split(",")
    own = {path for path in inside if path.startswith("/dev/pts/") or path == "/dev/console"}
    groups = {USER.pw_gid, *os.getgrouplist(USER.pw_name, USER.pw_gid)}
    assert not {path for path in inside - own if not may_open(os.stat(path), groups)}


def profile(engine: Engine, content: object) -> str:
    path = engine.folder / "profile.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_a_seccomp_profile_of_one_s_own(engine: Engine) -> None:
    rules = [
        {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
        {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
    ]
    path = profile(engine, {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})
    options = ("--security-opt", f"seccomp={path}", "--name", "box", *NONE)
    engine.rl("run", "-d", *options, "busybox", "sleep", "1000")
    Path(path).unlink()  # the container keeps what it says
    assert "No space left" in engine.rl("exec", "box", "mkdir", "/folder", check=1).stderr
    engine.rl("restart", "-t", "0", "box")
    assert "No space left" in engine.rl("exec", "box", "mkdir", "/folder", check=1).stderr
    assert fields(engine.rl("exec", "box", *STATUS[1:]).stdout)["Seccomp"] == 2
    (shown,) = host_config(engine, "box")["SecurityOpt"]
    assert json.loads(shown.removeprefix("seccomp="))["syscalls"] == rules


def test_seccomp_by_name(engine: Engine) -> None:
    assert status(engine, "--security-opt", "seccomp=unconfined")["Seccomp"] == 0
    assert status(engine, "--security-opt", "seccomp=builtin")["Seccomp"] == 2
    assert status(engine, "--privileged", "--security-opt", "seccomp=builtin")["Seccomp"] == 2


@pytest.mark.parametrize("word", ["no-new-privileges", "no-new-privileges=true", "no-new-privileges:true"])
def test_no_new_privileges(engine: Engine, word: str) -> None:
    engine.rl("run", "-d", "--name", "box", *NONE, "--security-opt", word, "busybox", "sleep", "1000")
    found = fields(engine.rl("exec", "box", *STATUS[1:]).stdout)
    assert (found["NoNewPrivs"], found["Seccomp"], found["CapEff"]) == (1, 2, DEFAULT)
    assert host_config(engine, "box")["SecurityOpt"] == ["no-new-privileges"]
    assert status(engine, "--security-opt", "no-new-privileges=false")["NoNewPrivs"] == 0


def test_masked_and_read_only_paths(engine: Engine) -> None:
    script = "cat /proc/mounts"
    mask = engine.rl(
        "run", "--rm", *NONE, "--security-opt", "mask=/etc:/proc/version", "busybox", "sh", "-c", "ls /etc; cat /proc/version"
    )
    assert mask.stdout == ""
    everything = engine.rl("run", "--rm", *NONE, "--security-opt", "unmask=ALL", "busybox", "sh", "-c", script).stdout
    assert not [line for line in everything.splitlines() if line.split()[1].startswith("/proc/")]
    systempaths = engine.rl("run", "--rm", *NONE, "--security-opt", "systempaths=unconfined", "busybox", "sh", "-c", script).stdout
    assert not [line for line in systempaths.splitlines() if line.split()[1].startswith("/proc/")]
    options = ("--security-opt", "unmask=/proc/k*:/proc/sys", "--name", "box")
    some = engine.rl("run", *NONE, *options, "busybox", "sh", "-c", script).stdout
    targets = {line.split()[1] for line in some.splitlines()}
    assert "/proc/sys" not in targets
    assert "/proc/kcore" not in targets
    assert "/proc/bus" in targets
    shown = host_config(engine, "box")
    assert set(shown["ReadonlyPaths"]) == set(READONLY_PATHS) - {"/proc/sys"}
    assert set(shown["MaskedPaths"]) & set(MASKED_PATHS) == set(MASKED_PATHS) - {"/proc/kcore", "/proc/keys"}


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_other_runtimes_do_the_same(engine: Engine, runtime: str) -> None:
    found = status(engine, "--runtime", runtime, "--privileged")
    assert (found["CapEff"], found["Seccomp"]) == (ALL, 0)
    path = profile(engine, {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_ERRNO"}]})
    options = ("--cap-drop", "all", "--security-opt", "no-new-privileges", "--security-opt", f"seccomp={path}")
    more = ("--device", "/dev/fuse:/dev/x", "--ulimit", "nofile=55", "--umask", "077", "--oom-score-adj", "900")
    script = "cat /proc/self/oom_score_adj ; umask; ulimit -n; ls /dev/x"
    script += "; grep -E 'CapEff|NoNew' /proc/self/status"
    result = engine.rl("run", "--rm", *NONE, "--runtime", runtime, *options, *more, "busybox", "sh", "-c", script)
    assert result.stdout.split() == ["900", "0077", "55", "/dev/x", "CapEff:", "0" * 16, "NoNewPrivs:", "1"]
    other = ("--runtime", runtime, "--sysctl", "net.ipv4.ip_forward=1")
    assert "needs rl's own runtime" in engine.rl("run", "--rm", *NONE, *other, "busybox", "true", check=125).stderr


def test_with_one_id(one_id_engine: OneIdEngine) -> None:
    options = ("--privileged", "--device", "/dev/fuse:/dev/x", "--ulimit", "nofile=55", "--sysctl", "net.ipv4.ip_forward=1")
    script = "grep CapEff /proc/self/status; cat /proc/sys/net/ipv4/ip_forward; ulimit -n; ls /dev/x"
    result = one_id_engine.rl("run", "--rm", *NONE, *options, "busybox", "sh", "-c", script)
    assert result.stdout.split() == ["CapEff:", f"{ALL:016x}", "1", "55", "/dev/x"]


def test_labels(engine: Engine) -> None:
    engine.rl("run", "--rm", *NONE, "--security-opt", "label=disable", "--security-opt", "apparmor=unconfined", "busybox", "true")
    if not Path("/sys/module/apparmor").exists():
        result = engine.rl("run", "--rm", *NONE, "--security-opt", "apparmor=mine", "busybox", "true", check=125)
        assert "this kernel runs without AppArmor" in result.stderr


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--cap-add", "nonsense"), 'invalid CapAdd: unknown capability: "CAP_NONSENSE"'),
        (("--cap-drop", "nonsense"), 'invalid CapDrop: unknown capability: "CAP_NONSENSE"'),
        (("--security-opt", "nonsense"), "invalid --security-opt: 'nonsense'"),
        (("--security-opt", "nonsense=1"), "invalid --security-opt: 'nonsense=1'"),
        (("--security-opt", "no-new-privileges=maybe"), "no-new-privileges=maybe"),
        (("--security-opt", "seccomp="), "invalid --security-opt: 'seccomp='"),
        (("--security-opt", "seccomp=/no/such"), "opening seccomp profile (/no/such) failed"),
        (("--security-opt", "label=type:x"), "no SELinux label of their own"),
        (("--security-opt", "mask=relative"), "'relative' is no absolute path"),
        (("--security-opt", "systempaths=x"), "systempaths takes unconfined only"),
    ],
)
def test_errors(engine: Engine, options: tuple[str, ...], text: str) -> None:
    result = engine.rl("run", "--rm", *NONE, *options, "busybox", "true", check=125)
    assert text in result.stderr
    assert engine.rl("ps", "-aq").stdout == ""


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        {},
        {"defaultAction": "nonsense"},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": "x"},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [5]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": [5], "action": "SCMP_ACT_ERRNO"}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ERRNO", "args": [5]}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": 5}}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{}]},
        {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["nonsense"]},
        {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_NOTIFY"}]},
    ],
)
def test_malformed_profiles(engine: Engine, content: object) -> None:
    path = profile(engine, content)
    result = engine.rl("create", "--security-opt", f"seccomp={path}", "busybox", "true", check=1)
    assert "profile" in result.stderr


def test_root_is_refused_what_would_open_the_node_s_settings() -> None:
    from rootless.containers import security_options
    from rootless.errors import InvalidInput

    for options in ({"security": ("unmask=/proc/sys",), "privileged": False}, {"security": (), "privileged": True}):
        with pytest.raises(InvalidInput, match="you are root"):
            security_options.parse((), (), options["security"], privileged=bool(options["privileged"]), uid=0)  # type: ignore[arg-type]
    assert security_options.parse((), (), (), privileged=True, uid=max(os.getuid(), 1))["Privileged"]
