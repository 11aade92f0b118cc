"""Rare properties where the conformance table does not reach: locked mounts, commands of exec, closed interpreters."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.oci_bundle import OURS, Runtime, config
from tests.support.test_user import drop_privileges

pytestmark = pytest.mark.engine

IN_NAMESPACE = "mount -t tmpfs -o nosuid,noexec,ro,noatime none tmp && exec {} --root state run --bundle bundle one"


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime()
    yield made
    made.close()


def in_locked_mounts(runtime: Runtime, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a container whose volume is a read-only file system of a namespace above: the kernel locks its flags."""
    spec = config("sh", "-c", "cat /proc/self/mountinfo")
    spec["mounts"].append({"destination": "/m", "type": "bind", "source": f"{runtime.folder}/tmp", "options": ["bind", *options]})
    for key in ("uidMappings", "gidMappings"):
        spec["linux"][key] = [{"containerID": 0, "hostID": 0, "size": 1}]
    runtime.write(spec)
    for name in ("tmp", "state"):
        subprocess.run(["mkdir", "-p", name], cwd=runtime.folder, check=True, **drop_privileges())
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", IN_NAMESPACE.format(OURS[0])]
    return subprocess.run(
        command, cwd=runtime.folder, env=runtime.environment, capture_output=True, text=True, check=False, **drop_privileges()
    )


@pytest.fixture
def writable_folder(runtime: Runtime) -> Runtime:
    os.chmod(runtime.folder, 0o777)
    return runtime


@pytest.mark.parametrize("options", [(), ("rw",), ("suid", "exec", "dev"), ("rw", "nodev", "noatime"), ("nosymfollow",)])
def test_locked_flags_stay(writable_folder: Runtime, options: tuple[str, ...]) -> None:
    """Engines write rw and suid as a matter of course: as in runc and crun they ask for what is possible."""
    result = in_locked_mounts(writable_folder, *options)
    assert result.returncode == 0, result.stderr
    (flags,) = [line.split()[5] for line in result.stdout.splitlines() if line.split()[4] == "/m"]
    assert {"ro", "nosuid", "noexec", "noatime"} <= set(flags.split(","))
    assert ("nodev" in flags) == ("nodev" in options)
    assert ("nosymfollow" in flags) == ("nosymfollow" in options)


def test_a_locked_access_time_is_told_of(writable_folder: Runtime) -> None:
    result = in_locked_mounts(writable_folder, "strictatime")
    assert result.returncode == 1
    assert "cannot mount" in result.stderr
    assert "a flag of the node's mount that is locked" in result.stderr


SHOWN = "cut -d' ' -f 19,41 /proc/self/stat; cat /proc/self/oom_score_adj; grep 'open files' /proc/self/limits; uname -m; nproc"


def test_exec_gets_what_the_process_has(runtime: Runtime) -> None:
    process: dict[str, Any] = {
        "oomScoreAdj": 222,
        "scheduler": {"policy": "SCHED_BATCH", "nice": 3},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}],
        "execCPUAffinity": {"initial": "0", "final": "0"},
    }
    spec = config("sleep", "100", **process)
    spec["linux"]["personality"] = {"domain": "LINUX32"}
    runtime.write(spec)
    runtime.create("one")
    runtime.run("start", "one")
    for applet in ("cut", "grep", "uname", "nproc"):
        with contextlib.suppress(FileExistsError):
            os.symlink("busybox", runtime.bundle / "rootfs/bin" / applet)
    shown = runtime.run("exec", "one", "sh", "-c", SHOWN).stdout.split("\n")
    assert shown[:2] == ["3 3", "222"]
    assert shown[2].split()[3:5] == ["50", "60"]
    assert shown[3:5] == ["i686", "1"]


def test_exec_is_told_what_is_impossible(runtime: Runtime) -> None:
    runtime.write(config("sleep", "100", execCPUAffinity={"initial": "4000"}))
    runtime.create("one")
    runtime.run("start", "one")
    result = runtime.run("exec", "one", "true", check=None)
    assert result.status != 0
    assert "process.execCPUAffinity.initial: 4000: Invalid argument" in result.stderr


def test_unknown_capabilities_are_warned_of(runtime: Runtime) -> None:
    runtime.write(config("echo", "ok", capabilities={"bounding": ["CAP_CHOWN", "CAP_FLY"]}))
    result = runtime.run("run", "one")
    assert result.stdout == "ok\n"
    assert "warning: config.json: process.capabilities: 'CAP_FLY' is not a capability of this kernel: ignored" in result.stderr


def test_a_limit_that_engines_set_unasked_is_warned_of(runtime: Runtime) -> None:
    spec = config("echo", "ok")
    spec["linux"]["resources"] = {"pids": {"limit": 2048}, "devices": [{"allow": False, "access": "rwm"}]}
    runtime.write(spec)
    assert "linux.resources.pids.limit: rl oci sets no limits" in runtime.run("run", "one").stderr
    spec["linux"]["resources"]["memory"] = {"limit": 1 << 26}
    runtime.write(spec)
    assert "linux.resources.memory.limit" in runtime.run("run", "one", check=1).stderr
    assert runtime.run("--cgroup-manager", "disabled", "run", "one").stdout == "ok\n"


def test_a_process_file_is_checked_as_the_config_is(runtime: Runtime) -> None:
    runtime.write(config("sleep", "100"))
    runtime.create("one")
    runtime.run("start", "one")
    process = runtime.folder / "process.json"
    known = {"cwd": "/", "args": ["echo", "ok"], "env": ["PATH=/bin"]}
    process.write_text(json.dumps({**known, "capabilities": {"bounding": ["CAP_FLY"]}}))
    result = runtime.run("exec", "--process", str(process), "one")
    assert result.stdout == "ok\n"
    assert "warning: process.json: capabilities: 'CAP_FLY'" in result.stderr
    process.write_text(json.dumps({**known, "rlimits": [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]}))
    assert "process.json: rlimits[0].type: must be one of" in runtime.run("exec", "--process", str(process), "one", check=1).stderr
