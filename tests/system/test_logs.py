"""Log drivers and their options; `rl logs` of what they keep, with followers across rotations."""

import json
import subprocess
from pathlib import Path

from tests.support.engine import COMMAND, Engine, wait_until
from tests.support.test_user import drop_privileges

NONE = ("--network", "none")


def _run(engine: Engine, script: str, *options: str, name: str = "box") -> dict[str, object]:
    engine.rl("run", "--name", name, *NONE, *options, "busybox", "sh", "-c", script)
    document: dict[str, object] = json.loads(engine.rl("inspect", name).stdout)[0]
    return document


def test_a_follower_loses_and_repeats_nothing_across_rotations(engine: Engine) -> None:
    script = "read go; i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); [ $((i%100)) = 0 ] && usleep 20000; done"
    options = ("--log-opt", "max-size=20k", "--log-opt", "max-file=3", "--log-opt", "compress=true")
    engine.rl("run", "-di", "--name", "box", *NONE, *options, "busybox", "sh", "-c", script)
    following = engine.start("logs", "-f", "box", stdout=subprocess.PIPE)
    monitor = engine.record("box")["Rl"]["Monitor"][0]
    wait_until(lambda: "inotify" in _descriptors(following.pid), what="it follows")
    engine.rl("attach", "box", stdin="go\n")
    assert following.communicate(timeout=60)[0] == "".join(f"line {number}\n" for number in range(3000))
    kept = engine.rl("logs", "box").stdout.splitlines()
    assert kept[-1] == "line 2999"
    assert kept == [f"line {number}" for number in range(3000 - len(kept), 3000)]
    assert engine.rl("logs", "-n", "700", "box").stdout.splitlines() == kept[-700:]
    wait_until(lambda: not Path(f"/proc/{monitor}").exists() or "Z" in Path(f"/proc/{monitor}/stat").read_text())
    names = {path.name.rpartition("-json.log")[2] for path in Path(str(engine.data_root)).glob("containers/*/*-json.log*")}
    assert {"", ".1.gz", ".2.gz"} == {name for name in names if not name.endswith(".tmp")}


def _descriptors(pid: int) -> str:
    try:
        return " ".join(str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:
        return ""


def test_drivers(engine: Engine) -> None:
    document = _run(engine, "echo out; echo err >&2; printf end", "--log-driver", "k8s-file")
    lines = Path(str(document["LogPath"])).read_text().splitlines()
    assert sorted(line.split(" ", 1)[1] for line in lines) == ["stderr F err", "stdout F out", "stdout P end"]
    shown = engine.rl("logs", "box")
    assert (shown.stdout, shown.stderr) == ("out\nend", "err\n")
    document = _run(engine, "echo out", "--log-driver", "none", name="mute")
    assert document["LogPath"] == ""
    assert "does not support reading" in engine.rl("logs", "mute", check=None).stderr
    document = _run(engine, "echo out", "--log-driver", "local", name="local")
    host_config = document["HostConfig"]
    assert host_config["LogConfig"]["Config"] == {"max-size": "20m", "max-file": "5"}  # type: ignore[index]
    assert engine.rl("logs", "local").stdout == "out\n"
    for refused in (
        ("--log-driver", "syslog"),
        ("--log-opt", "max-size=x"),
        ("--log-opt", "max-file=2"),
        ("--log-opt", "compress=true"),
        ("--log-opt", "colour=red"),
        ("--log-driver", "none", "--log-opt", "max-size=1m"),
    ):
        assert "hint:" in engine.rl("run", *refused, "busybox", "true", check=125).stderr, refused


def test_details_paths_names_and_several_containers(engine: Engine) -> None:
    path = engine.folder / "home" / "own.log"
    options = ("--label", "a=1", "-e", "B=2", "--log-opt", "tag={{.Name}}/x", "--log-opt", "labels=a", "--log-opt", "env=B,C")
    _run(engine, "echo one", *options, "--log-opt", f"path={path}")
    assert engine.rl("logs", "--details", "box").stdout == "B=2,a=1,tag=box/x one\n"
    assert json.loads(path.read_text())["attrs"] == {"a": "1", "B": "2", "tag": "box/x"}
    _run(engine, "echo two", name="other")
    assert engine.rl("logs", "box", "other").stdout == "box one\nother two\n"
    assert engine.rl("logs", "--names", "other").stdout == "other two\n"
    assert sorted(engine.rl("logs", "-f", "box", "other").stdout.splitlines()) == ["box one", "other two"]


def test_binary_output_comes_back_from_logs_and_pipes(engine: Engine) -> None:
    content = bytes(range(256)) * 4000
    source = engine.folder / "home" / "content"
    source.write_bytes(content)
    options = {"env": engine.environment, "cwd": engine.folder, **drop_privileges()}
    command = [*COMMAND, "run", "-i", "--name", "box", *NONE, "busybox", "cat"]
    with source.open("rb") as file:
        piped = subprocess.run(command, stdin=file, stdout=subprocess.PIPE, check=True, **options)  # type: ignore[call-overload]
    assert piped.stdout == content
    command = [*COMMAND, "logs", "box"]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True, **options).stdout == content  # type: ignore[call-overload]
