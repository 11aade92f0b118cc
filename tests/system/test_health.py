"""Health checks run by the monitor: what is recorded and shown, how time-outs end, what is done when one is unhealthy."""

import json
import time
from typing import Any

from tests.support.engine import Engine, is_alive, wait_until

NONE = ("--network", "none")
FAST = ("--health-interval", "100ms", "--health-timeout", "2s")


def _run(engine: Engine, *options: str, command: tuple[str, ...] = ("sleep", "1000")) -> int:
    engine.rl("run", "-d", "--name", "box", *NONE, *FAST, *options, "busybox", *command)
    monitor: int = engine.record("box")["Rl"]["Monitor"][0]
    return monitor


def _health(engine: Engine) -> dict[str, Any]:
    found: dict[str, Any] = engine.record("box")["State"].get("Health", {})
    return found


def test_a_container_becomes_healthy_unhealthy_and_healthy_again(engine: Engine) -> None:
    _run(engine, "--health-cmd", "echo looked; test ! -e /ill", "--health-retries", "2")
    assert "(health: starting)" in engine.rl("ps", "--format", "{{.Status}}").stdout or _health(engine)["Status"] == "healthy"
    wait_until(lambda: _health(engine)["Status"] == "healthy")
    assert engine.rl("ps", "--format", "{{.Status}}", "--filter", "health=healthy").stdout.strip().endswith("(healthy)")
    engine.rl("exec", "box", "touch", "/ill")
    wait_until(lambda: _health(engine)["Status"] == "unhealthy")
    assert "(unhealthy)" in engine.rl("ps").stdout
    state = json.loads(engine.rl("inspect", "box").stdout)[0]["State"]["Health"]
    assert state["FailingStreak"] >= 2
    assert {key: state["Log"][-1][key] for key in ("ExitCode", "Output")} == {"ExitCode": 1, "Output": "looked\n"}
    wait_until(lambda: len(_health(engine)["Log"]) == 5)
    assert engine.rl("healthcheck", "run", "box", check=1).stdout == "unhealthy\n"
    engine.rl("exec", "box", "rm", "/ill")
    engine.rl("healthcheck", "run", "box")
    told = engine.rl("events", "--no-stream", "--filter", "event=health_status", "--format", "{{.Action}}").stdout.splitlines()
    assert told[:3] == [f"health_status: {status}" for status in ("healthy", "unhealthy", "healthy")]


def test_a_probe_that_takes_too_long_is_killed_with_what_it_started(engine: Engine) -> None:
    options = ("--health-cmd", "echo begun; sleep 777 & sleep 778", "--health-timeout", "200ms", "--health-retries", "1")
    monitor = _run(engine, *options)
    wait_until(lambda: _health(engine)["Status"] == "unhealthy")
    entry = _health(engine)["Log"][0]
    assert entry["ExitCode"] == -1
    assert entry["Output"] == "Health check exceeded timeout (0.2s): begun\n"
    began = time.monotonic()
    assert engine.rl("exec", "box", "echo", "hi").stdout == "hi\n"  # the loop waits for no probe
    assert time.monotonic() - began < 5
    engine.rl("stop", "-t", "0", "box")
    wait_until(lambda: not is_alive(monitor))
    assert not [line for _pid, line in engine.processes() if "sleep 77" in line]


def test_output_is_cut_at_4096_bytes_and_commands_without_a_shell(engine: Engine) -> None:
    _run(engine, "--health-cmd", '["seq", "1", "3000"]')
    wait_until(lambda: _health(engine).get("Log"))
    output = _health(engine)["Log"][0]["Output"]
    assert len(output) == 4096 + 3
    assert output.endswith("...")


def test_what_is_done_to_an_unhealthy_container(engine: Engine) -> None:
    for action, status in (("kill", 137), ("stop", 143)):
        options = ("--health-cmd", "false", "--health-retries", "1", "--health-on-failure", action, "--replace")
        monitor = _run(engine, *options, command=("sh", "-c", "trap 'exit 143' TERM; while :; do sleep 0.05; done"))
        wait_until(lambda monitor=monitor: not is_alive(monitor), what=f"{action} ends it")  # type: ignore[misc]
        assert engine.state("box")["ExitCode"] == status
    options = ("--health-cmd", "test -e /well", "--health-retries", "1", "--health-on-failure", "restart", "--replace")
    _run(engine, *options, command=("sh", "-c", "test -e /seen && touch /well; touch /seen; exec sleep 1000"))
    wait_until(lambda: engine.record("box")["RestartCount"] == 0 or _health(engine).get("Status") == "healthy")
    engine.rl("exec", "box", "true", check=None)
    wait_until(lambda: engine.record("box")["RestartCount"] == 1 and _health(engine)["Status"] == "healthy", 15)


def test_checks_that_cannot_be(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "plain", *NONE, "busybox", "sleep", "1000")
    assert "no defined healthcheck" in engine.rl("healthcheck", "run", "plain", check=125).stderr
    conflicting = ("--health-cmd", "x", "--no-healthcheck")
    assert "conflicts" in engine.rl("run", *conflicting, "busybox", "true", check=125).stderr
    assert "not a duration" in engine.rl("run", *FAST[:1], "soon", "busybox", "true", check=125).stderr
    _run(engine, "--health-cmd", '["/no/such"]', "--health-retries", "1")
    wait_until(lambda: _health(engine)["Status"] == "unhealthy")
    assert "/no/such" in _health(engine)["Log"][0]["Output"]
