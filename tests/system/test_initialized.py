"""`rl init`: a container that is made up to its first process, which waits for the start."""

import os
import signal

from tests.support.engine import Engine, is_alive, wait_until

NONE = ("--network", "none")


def _initialize(engine: Engine, *command: str, options: tuple[str, ...] = ()) -> int:
    """Make a container named box and initialize it; returns its init's PID."""
    engine.rl("create", "--name", "box", *NONE, *options, "busybox", *command)
    assert engine.rl("init", "box").stdout == "box\n"
    pid: int = engine.record("box")["Rl"]["Init"][0]
    return pid


def test_it_waits_until_it_is_started(engine: Engine) -> None:
    init = _initialize(engine, "sh", "-c", "echo begun; exit 3")
    assert is_alive(init)
    assert engine.state("box")["Status"] == "initialized"
    assert engine.state("box")["Running"] is False
    assert engine.rl("ps", "-q").stdout == ""
    assert engine.rl("ps", "-a", "--format", "{{.Status}}").stdout == "Initialized\n"
    assert engine.rl("ps", "-aq", "--filter", "status=initialized").stdout != ""
    assert engine.rl("logs", "box").stdout == ""
    assert "is not running" in engine.rl("exec", "box", "true", check=1).stderr
    assert engine.rl("start", "box").stdout == "box\n"
    assert engine.rl("wait", "box").stdout == "3\n"
    assert engine.rl("logs", "box").stdout == "begun\n"
    assert "already" not in engine.rl("start", "box").stderr  # as any that has ended
    engine.rl("wait", "box")


def test_whoever_starts_it_attached_sees_its_first_output(engine: Engine) -> None:
    _initialize(engine, "sh", "-c", "cat; exit 4", options=("-i",))
    assert engine.rl("start", "-ai", "box", stdin="typed\n", check=4).stdout == "typed\n"


def test_it_is_initialized_once(engine: Engine) -> None:
    _initialize(engine, "sleep", "1000")
    assert "already running" in engine.rl("init", "box", check=1).stderr
    engine.rl("start", "box")
    assert "already running" in engine.rl("start", "box", check=1).stderr


def test_a_command_that_is_not_there_is_told_at_the_start(engine: Engine) -> None:
    _initialize(engine, "no-such-command")
    assert "executable file not found" in engine.rl("start", "box", check=1).stderr
    wait_until(lambda: not engine.processes())
    assert engine.state("box")["ExitCode"] == 127


def test_stop_and_remove_do_not_wait(engine: Engine) -> None:
    init = _initialize(engine, "sleep", "1000")
    engine.rl("stop", "box", timeout=8)
    assert not is_alive(init)
    assert engine.state("box")["Status"] == "exited"
    engine.rl("init", "box")
    engine.rl("rm", "box")
    assert engine.rl("ps", "-aq").stdout == ""


def test_a_killed_monitor_takes_it_along(engine: Engine) -> None:
    init = _initialize(engine, "sleep", "1000")
    os.kill(engine.record("box")["Rl"]["Monitor"][0], signal.SIGKILL)
    wait_until(lambda: not is_alive(init))
    assert engine.state("box")["Error"] == "monitor died"
    engine.rl("start", "box")
    engine.rl("rm", "-f", "box")
