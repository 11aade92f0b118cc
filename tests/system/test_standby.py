"""The monitor that stands by while `rl run` reads its command line: it is used, replaced when dead, and ends when not needed."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.engine import Engine, children_of, is_alive, wait_until
from tests.support.test_user import USER

NONE = ("--network", "none")


def _held_command(engine: Engine, *arguments: str) -> tuple["subprocess.Popen[str]", Path, int]:
    """Start an `rl run` that waits for an --env-file, a FIFO; returns it, the FIFO, and the standby's PID."""
    fifo = engine.folder / "variables"
    os.mkfifo(fifo)
    os.chown(fifo, USER.pw_uid, USER.pw_gid)
    process = engine.start("run", *NONE, "--env-file", str(fifo), *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: bool(children_of(process.pid)), what="a standby")
    (standby,) = children_of(process.pid)
    return process, fifo, standby


def test_the_standby_becomes_the_monitor(engine: Engine) -> None:
    process, fifo, standby = _held_command(engine, "-d", "--name", "box", "busybox", "sleep", "1000")
    fifo.write_text("A=1\n")
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert engine.record("box")["Rl"]["Monitor"][0] == standby
    assert os.getsid(standby) == standby
    assert Path(f"/proc/{standby}/cmdline").read_bytes().rstrip(b"\0").startswith(b"rl monitor box")
    assert engine.rl("exec", "box", "sh", "-c", "echo $A").stdout == "1\n"


def test_a_killed_standby_is_replaced(engine: Engine) -> None:
    process, fifo, standby = _held_command(engine, "--rm", "busybox", "sh", "-c", "echo $A")
    os.kill(standby, signal.SIGKILL)
    fifo.write_text("A=1\n")
    assert process.communicate(timeout=30) == ("1\n", "")
    assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_standby_ends_with_its_command(engine: Engine, number: signal.Signals) -> None:
    process, _fifo, standby = _held_command(engine, "busybox", "true")
    os.kill(process.pid, number)
    process.communicate(timeout=30)
    wait_until(lambda: not is_alive(standby), what="the standby's end")
    assert engine.rl("ps", "-aq").stdout == ""


@pytest.mark.parametrize("arguments", [["--help"], ["--no-such-option"], [], ["--pull", "never", "nosuchimage"]])
def test_a_command_that_starts_nothing_leaves_no_standby(engine: Engine, arguments: list[str]) -> None:
    engine.rl("run", *arguments, check=None)  # its output's end is waited for, too
    wait_until(lambda: not engine.processes(), 5, "no process is left")
