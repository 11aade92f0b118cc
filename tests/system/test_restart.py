"""Restart policies, and the ends that users ask for: the monitor starts again, or does not."""

import json
import os
import signal
import subprocess
import time

from tests.support.engine import Engine, is_alive, wait_until

NONE = ("--network", "none")


def _inspect(engine: Engine, container: str = "box") -> dict[str, object]:
    (document,) = json.loads(engine.rl("inspect", container).stdout)
    return document  # type: ignore[no-any-return]


def _run(engine: Engine, policy: str, *command: str, name: str = "box", options: tuple[str, ...] = ()) -> int:
    engine.rl("run", "-d", "--name", name, "--restart", policy, *NONE, *options, "busybox", *command)
    monitor: int = engine.record(name)["Rl"]["Monitor"][0]
    return monitor


def test_on_failure_tries_again_so_many_times_and_keeps_files_and_logs(engine: Engine) -> None:
    monitor = _run(engine, "on-failure:3", "sh", "-c", "echo run >> /log; cat /log; exit 7")
    wait_until(lambda: not is_alive(monitor), what="the monitor has given up")
    document = _inspect(engine)
    assert document["RestartCount"] == 3
    assert document["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}  # type: ignore[index]
    state = document["State"]
    assert (state["Status"], state["ExitCode"], state["Restarting"]) == ("exited", 7, False)  # type: ignore[index]
    assert engine.rl("logs", "box").stdout == "run\n" * (1 + 2 + 3 + 4)
    events = engine.rl("events", "--no-stream", "--filter", "container=box", "--format", "{{.Action}}").stdout.split()
    assert events == ["create", *["start", "die"] * 4]


def test_the_same_monitor_goes_on_and_stop_ends_it(engine: Engine) -> None:
    monitor = _run(engine, "always", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.05; done")
    first = engine.record("box")["Rl"]["Init"]
    os.kill(first[0], signal.SIGKILL)
    wait_until(lambda: engine.record("box")["Rl"]["Init"] not in (None, first), what="a new run")
    assert engine.record("box")["Rl"]["Monitor"][0] == monitor
    assert engine.rl("exec", "box", "echo", "hi").stdout == "hi\n"
    assert _inspect(engine)["RestartCount"] == 1
    engine.rl("stop", "-t", "5", "box")
    assert engine.state("box")["Status"] == "exited"
    wait_until(lambda: not is_alive(monitor))


def test_a_container_between_two_runs_is_shown_and_stopped_at_once(engine: Engine) -> None:
    monitor = _run(engine, "always", "false")
    wait_until(lambda: engine.record("box")["State"]["Restarting"] and engine.record("box")["RestartCount"] >= 4)
    assert "Restarting (1)" in engine.rl("ps", "--format", "{{.Status}}", "--filter", "status=restarting").stdout
    wait_until(lambda: "it is restarting" in engine.rl("exec", "box", "true", check=None).stderr)
    wait_until(lambda: "it is restarting" in engine.rl("kill", "-s", "HUP", "box", check=None).stderr)
    began = time.monotonic()
    engine.rl("stop", "box")
    assert time.monotonic() - began < 3
    wait_until(lambda: not is_alive(monitor))
    state = engine.state("box")
    assert (state["Status"], state["Running"], state["ExitCode"]) == ("exited", False, 1)


def test_a_forced_remove_ends_the_restarts(engine: Engine) -> None:
    _run(engine, "always", "false")
    engine.rl("rm", "-f", "box")
    assert engine.rl("ps", "-aq").stdout == ""


def test_a_killed_monitor_starts_nothing_again(engine: Engine) -> None:
    monitor = _run(engine, "always", "sleep", "1000")
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not is_alive(monitor))
    state = engine.state("box")
    assert (state["Status"], state["ExitCode"], state["Error"]) == ("exited", 137, "monitor died")


def test_update_changes_the_policy_of_running_and_stopped_containers(engine: Engine) -> None:
    monitor = _run(engine, "no", "sleep", "1000")
    assert engine.rl("update", "--restart", "on-failure:2", "box").stdout == "box\n"
    os.kill(engine.record("box")["Rl"]["Init"][0], signal.SIGKILL)
    wait_until(lambda: engine.record("box")["RestartCount"] == 1 and engine.record("box")["Rl"]["Init"], what="a new run")
    engine.rl("stop", "-t", "0", "box")
    wait_until(lambda: not is_alive(monitor))
    engine.rl("update", "--restart", "no", "box")
    assert engine.record("box")["HostConfig"]["RestartPolicy"]["Name"] == "no"
    engine.rl("run", "--rm", "-d", "--name", "gone", *NONE, "busybox", "sleep", "1000")
    assert "AutoRemove" in engine.rl("update", "--restart", "always", "gone", check=None).stderr


def test_restart_and_rm_conflict(engine: Engine) -> None:
    refused = engine.rl("run", "--rm", "--restart", "always", "busybox", "true", check=125)
    assert "Conflicting options: --restart and --rm" in refused.stderr
    assert "unknown policy" in engine.rl("run", "--restart", "often", "busybox", "true", check=125).stderr


def test_what_a_user_unit_starts_after_a_reboot(engine: Engine) -> None:
    for name, policy in (("a", "always"), ("stopped", "unless-stopped"), ("u", "unless-stopped"), ("no", "no")):
        _run(engine, policy, "sleep", "1000", name=f"x{name}")
    engine.rl("stop", "-t", "0", "xstopped", "xa")
    for name in ("xu", "xno"):
        os.kill(engine.record(name)["Rl"]["Monitor"][0], signal.SIGKILL)
    wait_until(lambda: engine.rl("ps", "-q").stdout == "")
    assert engine.rl("start", "--all", "--filter", "restart-policy=always").stdout.split() == ["xa"]
    assert engine.rl("start", "--all", "--filter", "restart-policy=unless-stopped").stdout.split() == ["xu"]
    assert sorted(engine.rl("stop", "-t", "0", "--all").stdout.split()) == ["xa", "xu"]


def test_restart_keeps_logs_and_a_container_that_was_run_with_rm(engine: Engine) -> None:
    command = ("sh", "-c", "echo run; trap 'exit 0' TERM; while :; do sleep 0.05; done")
    for name, options in (("box", ()), ("gone", ("--rm",))):
        engine.rl("run", "-d", "--name", name, *options, *NONE, "busybox", *command)
        wait_until(lambda name=name: engine.rl("logs", name).stdout == "run\n")  # type: ignore[misc]
        assert engine.rl("restart", "-t", "5", name).stdout == f"{name}\n"
        wait_until(lambda name=name: engine.rl("logs", name).stdout == "run\nrun\n")  # type: ignore[misc]
    engine.rl("restart", "-s", "KILL", "box")
    engine.rl("stop", "box", "gone")
    wait_until(lambda: engine.rl("ps", "-a", "--format", "{{.Names}}").stdout == "box\n")
    assert engine.rl("restart", "-t", "0", "box").stdout == "box\n"
    events = engine.rl("events", "--no-stream", "--filter", "container=box", "--filter", "event=restart").stdout
    assert events.count("restart") == 3


def test_stop_signal_and_time_out_of_the_container(engine: Engine) -> None:
    script = "trap 'echo got; exit 5' USR1; trap '' TERM; echo up; while :; do sleep 0.05; done"
    options = ("--stop-signal", "USR1", "--stop-timeout", "20", "--label", "a=b", "--annotation", "x.y=z")
    engine.rl("run", "-d", "--name", "box", *options, *NONE, "busybox", "sh", "-c", script)
    wait_until(lambda: engine.rl("logs", "box").stdout == "up\n")
    engine.rl("stop", "box")
    document = _inspect(engine)
    config, state = document["Config"], document["State"]
    assert (config["StopSignal"], config["StopTimeout"], config["Labels"]) == ("USR1", 20, {"a": "b"})  # type: ignore[index]
    assert state["ExitCode"] == 5  # type: ignore[index]
    bundle = engine.data_root / "containers" / str(document["Id"]) / "config.json"
    assert json.loads(bundle.read_text())["annotations"] == {"x.y": "z"}
    engine.rl("run", "-d", "--name", "deaf", "--stop-timeout", "0", *NONE, "busybox", "sh", "-c", "trap '' TERM; sleep 1000")
    began = time.monotonic()
    engine.rl("stop", "deaf")
    assert time.monotonic() - began < 5
    assert engine.state("deaf")["ExitCode"] == 137
    assert engine.rl("stop", "-i", "nobody", "deaf").stdout == "deaf\n"


def test_files_with_ids_and_a_replaced_name(engine: Engine) -> None:
    cid, pid = engine.folder / "home" / "cid", engine.folder / "home" / "pid"
    options = ("--name", "box", "--cidfile", str(cid), "--pidfile", str(pid))
    made = engine.rl("run", "-d", *options, *NONE, "busybox", "sleep", "1000").stdout.strip()
    assert cid.read_text() == made
    assert int(pid.read_text()) == engine.record("box")["Rl"]["Init"][0]
    assert "container ID file found" in engine.rl("run", *options, *NONE, "busybox", "true", check=125).stderr
    other = engine.rl("run", "-d", "--replace", "--name", "box", *NONE, "busybox", "sleep", "1000").stdout.strip()
    assert engine.record("box")["Id"] == other != made
    assert engine.rl("stop", "-t", "0", "--cidfile", str(cid), check=1).stderr
    wrong = engine.folder / "home" / "cid2"
    engine.rl("run", "--cidfile", str(wrong), "--name", "box", *NONE, "busybox", "true", check=125)
    assert not wrong.exists()


def test_waiting_for_states(engine: Engine) -> None:
    fast = ("--interval", "20ms")
    options = ("--health-cmd", "true", "--health-interval", "50ms")
    engine.rl("run", "-d", "--rm", "--name", "box", *options, *NONE, "busybox", "sh", "-c", "read x; exit 4")
    engine.rl("run", "-di", "--name", "web", *options, *NONE, "busybox", "sh", "-c", "read x; exit 4")
    assert engine.rl("wait", "--condition", "healthy", *fast, "web").stdout == "-1\n"
    assert engine.rl("wait", "--condition", "running", "--condition", "exited", *fast, "web").stdout == "-1\n"
    waiting = engine.start("wait", "--condition", "next-exit", *fast, "web", stdout=subprocess.PIPE)
    wait_until(lambda: _sleeps(waiting.pid), what="it waits")
    engine.rl("attach", "web", stdin="go\n", check=4)
    assert waiting.communicate(timeout=20)[0] == "4\n"
    assert engine.rl("wait", "--condition", "stopped", *fast, "web").stdout == "4\n"
    assert engine.rl("wait", "--condition", "removed", *fast, "--ignore", "box").stdout in ("-1\n", "4\n", "0\n")
    assert engine.rl("wait", "--ignore", "nobody").stdout == "-1\n"
    assert "invalid condition" in engine.rl("wait", "--condition", "happy", "web", check=None).stderr


def _sleeps(pid: int) -> bool:
    with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
        return file.read().split()[0] == "230"  # clock_nanosleep of x86-64
