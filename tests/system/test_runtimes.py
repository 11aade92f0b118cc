"""`rl run --runtime`: the same engine, with crun or runc to make the container inside the stage."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.engine import Engine, is_alive, wait_until
from tests.support.terminal import Terminal

pytestmark = pytest.mark.engine

NONE = ("--network", "none")


@pytest.fixture(params=["crun", "runc"])
def engine_with_runtime(request: pytest.FixtureRequest, engine: Engine) -> Engine:
    """An engine with each of the other runtimes in turn, by the environment."""
    engine.environment["RL_RUNTIME"] = request.param
    return engine


def test_streams_status_and_identity(engine_with_runtime: Engine) -> None:
    engine = engine_with_runtime
    script = "cat; echo err >&2; id -un; grep -c Seccomp.*2 /proc/self/status; ip -o -4 addr | grep -c eth0; exit 7"
    ours = engine.rl("run", "--rm", "-i", "--runtime", "rl", "busybox", "sh", "-c", script, stdin="in\n", check=7)
    theirs = engine.rl("run", "--rm", "-i", "busybox", "sh", "-c", script, stdin="in\n", check=7)
    assert theirs == ours
    assert theirs.stdout == "in\nroot\n1\n1\n"


def test_the_life_of_a_container(engine_with_runtime: Engine) -> None:
    engine = engine_with_runtime
    script = "echo started; trap 'echo got; exit 5' TERM; while :; do sleep 0.05; done"
    engine.rl("run", "-d", "--name", "box", *NONE, "-u", "nobody", "busybox", "sh", "-c", script)
    wait_until(lambda: "started" in engine.rl("logs", "box").stdout)
    assert engine.rl("exec", "-u", "0", "box", "sh", "-c", "id -u; exit 3", check=3).stdout == "0\n"
    assert engine.rl("exec", "box", "id", "-un").stdout == "nobody\n"
    engine.rl("stop", "box")
    assert engine.state("box")["ExitCode"] == 5
    assert engine.rl("logs", "box").stdout == "started\ngot\n"
    assert engine.record("box")["HostConfig"]["Runtime"] == engine.environment["RL_RUNTIME"]
    engine.rl("start", "box", env={"RL_RUNTIME": "rl"})  # it keeps the runtime that it was made with
    engine.rl("kill", "box")
    assert engine.rl("wait", "box").stdout == "137\n"
    engine.rl("rm", "box")


def test_a_terminal(engine_with_runtime: Engine) -> None:
    engine = engine_with_runtime
    launcher = [*_program(), "run", "-it", "--rm", *NONE, "busybox", "sh"]
    with Terminal(engine.folder, launcher, engine.environment, columns=80, rows=24) as terminal:
        terminal.wait_for("/ # ")
        terminal.enter("stty size; tty")
        terminal.wait_for("24 80")
        terminal.wait_for("/dev/pts/0")
        terminal.resize(100, 30)
        terminal.enter("stty size")
        terminal.wait_for("30 100")
        terminal.enter("exit 9")
        assert terminal.wait_for_end() == 9


def test_a_command_that_cannot_be_run(engine_with_runtime: Engine) -> None:
    engine = engine_with_runtime
    error = engine.rl("run", "--rm", *NONE, "busybox", "no-such-command", check=127).stderr
    assert f'exec: "no-such-command": executable file not found in $PATH ({engine.environment["RL_RUNTIME"]}: ' in error
    engine.rl("run", "--rm", *NONE, "busybox", "/etc/passwd", check=126)
    engine.rl("run", "--rm", *NONE, "busybox", "/etc", check=126)


def test_a_killed_monitor_takes_the_container_along(engine_with_runtime: Engine) -> None:
    engine = engine_with_runtime
    engine.rl("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "1000")
    own = engine.record("box")["Rl"]
    os.kill(own["Monitor"][0], signal.SIGKILL)
    wait_until(lambda: not is_alive(own["Init"][0]))
    assert engine.state("box")["ExitCode"] == 137


def test_the_stage_that_stays_is_closed(engine_with_runtime: Engine) -> None:
    """What waits outside belongs to the container's root, which must not open it."""
    engine = engine_with_runtime
    engine.rl("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "1000")
    own = engine.record("box")["Rl"]
    (stage,) = [pid for pid, _line in engine.processes() if _parent(pid) == own["Monitor"][0] and pid != own["Init"][0]]
    assert Path(f"/proc/{stage}/fd").stat().st_uid == 0  # not dumpable: root's, whoever it is


def test_a_runtime_that_is_not_there(engine: Engine) -> None:
    result = engine.rl("run", "--rm", "--runtime", "no-such-runtime", "busybox", "true", check=125)
    assert "the OCI runtime no-such-runtime is not installed" in result.stderr
    assert "not an executable file" in engine.rl("run", "--rm", "--runtime", "/etc/passwd", "busybox", "true", check=125).stderr
    assert "--init-path" in engine.rl("run", "--rm", "--init", "--runtime", "crun", "busybox", "true", check=125).stderr


def test_a_runtime_by_its_path(engine: Engine) -> None:
    """Our own as another engine sees it."""
    path = f"{Path(_program()[0]).parent}/rl-oci"
    assert engine.rl("run", "--rm", *NONE, "--runtime", path, "busybox", "hostname").stdout.strip().isalnum()


def _program() -> list[str]:
    from tests.support.engine import COMMAND

    return COMMAND


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.parametrize("driver", ["overlay", "fuse"])
def test_what_it_cannot_do_is_told_each_time(engine_with_runtime: Engine, driver: str) -> None:
    """The union's server may end by itself before its monitor looks after it, and be reaped with the stages."""
    engine = engine_with_runtime
    engine.environment["RL_STORAGE_DRIVER"] = driver
    engine.rl("run", "-d", "--name", "one", *NONE, "busybox", "sleep", "1000")
    for _attempt in range(5):
        error = engine.rl("run", "--rm", *NONE, "--pid", "container:one", "busybox", "true", check=125).stderr
        assert "cannot share a PID namespace" in error


def test_ctrl_c_while_a_container_starts_in_the_background_says_which_it_is(engine: Engine) -> None:
    slow = engine.folder / "home" / "slow-crun"
    slow.write_text(f'#!/bin/sh\ncase " $* " in *" create "*) sleep 2;; esac\nexec {shutil.which("crun")} "$@"\n')
    slow.chmod(0o755)
    starting = engine.start(
        "run", "-d", "--name", "box", *NONE, "--runtime", str(slow), "busybox", "sleep", "100", stdout=subprocess.PIPE
    )
    wait_until((engine.data_root / "names" / "box").is_symlink, what="it is made")
    time.sleep(0.5)
    starting.send_signal(signal.SIGINT)
    out, _err = starting.communicate(timeout=20)
    assert (starting.returncode, out.strip()) == (130, engine.record("box")["Id"])
    wait_until(lambda: engine.state("box")["Running"], what="it runs all the same")
