"""`rl oci`: hooks at all six points: order, namespaces, state, environment, time-outs, errors (config.md, runtime.md)."""

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.oci_bundle import Runtime, config

pytestmark = pytest.mark.engine

POINTS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime()
    yield made
    made.close()


def hook(script: str, **fields: Any) -> dict[str, Any]:
    return {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"], **fields}


def with_hooks(runtime: Runtime, hooks: dict[str, list[dict[str, Any]]], *command: str) -> None:
    # The log is seen under one path on the node and in the container.
    (runtime.bundle / "rootfs" / "log").mkdir(exist_ok=True)
    os.chmod(runtime.bundle / "rootfs" / "log", 0o777)
    runtime.write({**config(*command), "hooks": hooks, "annotations": {"a": "b"}})


def test_order_namespaces_and_state(runtime: Runtime) -> None:
    log = runtime.bundle / "rootfs" / "log"
    see = 'echo "$(readlink /proc/self/ns/mnt) $(readlink /proc/self/ns/pid) $(cat)" >> {}/all; echo %s >> {}/order'
    hooks = {point: [hook(see.replace("{}", "/log" if point == "startContainer" else str(log)) % point)] for point in POINTS}
    with_hooks(runtime, hooks, "sh", "-c", "echo command >> /log/order; exec sleep 100")
    runtime.create("one")
    assert (log / "order").read_text().split() == list(POINTS[:3])
    pid = runtime.state("one")["pid"]
    inside = [os.readlink(f"/proc/{pid}/ns/{name}") for name in ("mnt", "pid")]
    runtime.run("start", "one")
    runtime.run("kill", "one", "KILL")
    runtime.wait_for("one", "stopped")
    runtime.run("delete", "one")
    order = (log / "order").read_text().split()
    assert [name for name in order if name != "command"] == list(POINTS)
    assert order.index("startContainer") < order.index("command")
    outside = [os.readlink(f"/proc/self/ns/{name}") for name in ("mnt", "pid")]
    expected_status = {"startContainer": "created", "poststart": "running", "poststop": "stopped"}
    for point, line in zip(POINTS, (log / "all").read_text().splitlines(), strict=True):
        mount, process, text = line.split(" ", 2)
        state = json.loads(text)
        in_container = point in ("createContainer", "startContainer")
        assert [mount, process] == (inside if in_container else outside), point
        assert state["status"] == expected_status.get(point, "creating"), point
        assert state.get("pid") == (None if point == "poststop" else 1 if in_container else pid), point
        assert (state["id"], state["bundle"], state["annotations"]) == ("one", str(runtime.bundle), {"a": "b"})


@pytest.mark.parametrize("point", POINTS[:3])
def test_a_hook_that_fails_before_the_end_of_create_undoes_it(runtime: Runtime, point: str) -> None:
    with_hooks(runtime, {point: [hook("echo why; exit 3")], "poststop": [hook(f"touch {runtime.bundle}/stopped")]}, "true")
    error = runtime.run("create", "one", check=1).stderr
    assert point in error
    assert "exited with 3: why" in error
    assert runtime.run("list", "-q").stdout == ""


def test_a_hook_that_fails_before_the_command_ends_the_container(runtime: Runtime) -> None:
    with_hooks(runtime, {"startContainer": [hook("exit 4")]}, "touch", "/log/ran")
    runtime.create("one")
    assert "startContainer" in runtime.run("start", "one", check=1).stderr
    runtime.wait_for("one", "stopped")
    assert not (runtime.bundle / "rootfs" / "log" / "ran").exists()


def test_hooks_that_fail_later_are_told_of_only(runtime: Runtime) -> None:
    second = hook(f"touch {runtime.bundle}/rootfs/log/$$")
    with_hooks(runtime, {"poststart": [hook("exit 4"), second], "poststop": [hook("exit 5"), second]}, "sleep", "100")
    runtime.create("one")
    assert "exited with 4" in runtime.run("start", "one").stderr
    assert runtime.state("one")["status"] == "running"
    assert "exited with 5" in runtime.run("delete", "--force", "one").stderr
    assert len(list((runtime.bundle / "rootfs" / "log").iterdir())) == 2


def test_a_hook_has_its_time_and_its_environment(runtime: Runtime) -> None:
    with_hooks(runtime, {"createRuntime": [hook("sleep 100", timeout=1)]}, "true")
    assert "longer than 1 s" in runtime.run("create", "one", check=1).stderr
    show = hook(f"env > {runtime.bundle}/rootfs/log/env; exit 0", env=["A=b c", "PATH=/usr/bin:/bin"])
    with_hooks(runtime, {"createContainer": [show]}, "true")
    runtime.run("run", "one")
    variables = (runtime.bundle / "rootfs" / "log" / "env").read_text().splitlines()
    assert "A=b c" in variables
    assert not any(line.startswith("HOME=") for line in variables)
    with_hooks(runtime, {"prestart": [{"path": "/no/such/hook"}]}, "true")
    assert "No such file" in runtime.run("create", "one", check=1).stderr
    with_hooks(runtime, {"prestart": [{"path": "relative"}]}, "true")
    assert "absolute" in runtime.run("create", "one", check=1).stderr


def test_a_hook_that_reads_nothing_does_not_stop_us(runtime: Runtime) -> None:
    with_hooks(runtime, {"createRuntime": [hook("exec <&-; exit 0")]}, "true")
    spec = json.loads((runtime.bundle / "config.json").read_text())
    runtime.write({**spec, "annotations": {"large": "x" * 200_000}})
    process = runtime.start("run", "one", stdin=subprocess.DEVNULL)
    assert process.wait(60) == 0
