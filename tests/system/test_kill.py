"""kill -9 of each process of a container: what DESIGN section 1 says happens, and nothing is left behind."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.support.engine import Engine, is_alive, wait_until

NONE = ("--network", "none")

# Clears the parent-death signal as a container may (prctl(PR_SET_PDEATHSIG, 0)), then lives on.
CLEARS_DEATH_SIGNAL = """
#include <sys/prctl.h>
#include <unistd.h>
int main(void) { prctl(PR_SET_PDEATHSIG, 0); write(1, "cleared\\n", 8); for (;;) pause(); }
"""


@pytest.fixture(scope="session")
def immortal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A static program that clears the parent-death signal."""
    folder = tmp_path_factory.mktemp("immortal")
    (folder / "immortal.c").write_text(CLEARS_DEATH_SIGNAL)
    subprocess.run(["gcc", "-static", "-O1", "-o", folder / "immortal", folder / "immortal.c"], check=True)
    return folder / "immortal"


def _start(engine: Engine, *options: str, command: tuple[str, ...] = ("sleep", "1000")) -> tuple[int, int]:
    """Start a container named box; returns the PIDs of its monitor and its init."""
    engine.rl("run", "-d", "--name", "box", *options, "busybox", *command)
    own = engine.record("box")["Rl"]
    return own["Monitor"][0], own["Init"][0]


def _start_immortal(engine: Engine, immortal: Path, *options: str) -> tuple[int, int]:
    program = engine.folder / "immortal"
    shutil.copy(immortal, program)
    program.chmod(0o755)
    pids = _start(engine, *options, "-v", f"{program}:/immortal:ro", command=("/immortal",))
    wait_until(lambda: "cleared" in engine.rl("logs", "box").stdout)
    return pids


def _assert_died_with_its_monitor(engine: Engine) -> None:
    state = engine.state("box")
    assert (state["Status"], state["ExitCode"], state["Error"]) == ("exited", 137, "monitor died")
    assert "Exited (137)" in engine.rl("ps", "-a").stdout
    assert engine.rl("ps", "-q").stdout == ""
    wait_until(lambda: not engine.processes())


@pytest.mark.parametrize("network", ["none", "slirp"])
@pytest.mark.parametrize("driver", ["overlay", "fuse"])
def test_a_killed_monitor_takes_its_container_along(engine: Engine, network: str, driver: str) -> None:
    engine.environment["RL_STORAGE_DRIVER"] = driver
    monitor, init = _start(engine, "--network", network)
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not is_alive(init))
    _assert_died_with_its_monitor(engine)
    engine.rl("start", "box")
    engine.rl("rm", "-f", "box")


def test_helpers_end_a_container_that_cleared_its_death_signal(engine: Engine, immortal: Path) -> None:
    monitor, init = _start_immortal(engine, immortal, "--network", "slirp")
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not is_alive(init))
    _assert_died_with_its_monitor(engine)


def test_any_rl_ends_a_container_without_helpers_that_cleared_its_death_signal(engine: Engine, immortal: Path) -> None:
    engine.environment["RL_STORAGE_DRIVER"] = "overlay"
    monitor, init = _start_immortal(engine, immortal, *NONE)
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not is_alive(monitor))
    assert is_alive(init)
    _assert_died_with_its_monitor(engine)
    assert not is_alive(init)


def test_a_killed_monitor_of_a_container_with_rm_leaves_no_record(engine: Engine) -> None:
    engine.rl("run", "-d", "--rm", "--name", "box", *NONE, "busybox", "sleep", "1000")
    os.kill(engine.record("box")["Rl"]["Monitor"][0], signal.SIGKILL)
    wait_until(lambda: engine.rl("ps", "-aq").stdout == "")
    engine.rl("run", "--rm", "--name", "box", *NONE, "busybox", "true")


def test_a_killed_init_is_an_exit_with_137(engine: Engine) -> None:
    _monitor, init = _start(engine, *NONE)
    os.kill(init, signal.SIGKILL)
    assert engine.rl("wait", "box").stdout == "137\n"
    assert engine.state("box")["Error"] == ""


def test_a_killed_slirp_net_is_started_again(engine: Engine) -> None:
    _start(engine, "--network", "slirp")
    first = engine.helper("box", "slirp_net")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: any(pid != first for pid, line in engine.processes() if "-m slirp_net" in line))
    engine.rl("exec", "box", "ping", "-c", "1", "-W", "5", "10.0.2.2")
    assert engine.state("box")["Running"]


def test_slirp_net_is_given_up_after_three_tries_and_the_container_goes_on(engine: Engine) -> None:
    _start(engine, "--network", "slirp")
    for _attempt in range(4):
        wait_until(lambda: any("-m slirp_net" in line for _pid, line in engine.processes()))
        pid = engine.helper("box", "slirp_net")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda killed=pid: not is_alive(killed))
    assert engine.state("box")["Running"]
    folder = engine.data_root / "containers" / engine.record("box")["Id"]
    wait_until(lambda: "goes on without a network" in (folder / "engine.log").read_text())


def test_a_killed_fuse_overlay_ends_the_container_with_a_reason(engine: Engine) -> None:
    engine.environment["RL_STORAGE_DRIVER"] = "fuse"
    _start(engine, *NONE)
    os.kill(engine.helper("box", "fuse_overlay"), signal.SIGKILL)
    assert engine.rl("wait", "box").stdout == "137\n"
    assert "fuse_overlay" in engine.state("box")["Error"]
    engine.rl("start", "box")
    assert engine.rl("exec", "box", "echo", "again").stdout == "again\n"


def test_a_killed_fuse_overlay_restarts_a_container_whose_policy_says_so(engine: Engine) -> None:
    engine.environment["RL_STORAGE_DRIVER"] = "fuse"
    _start(engine, *NONE, "--restart", "on-failure:1", command=("sh", "-c", "cat /state; echo kept > /state; sleep 1000"))
    wait_until(lambda: engine.rl("exec", "box", "cat", "/state", check=None).stdout == "kept\n")
    first = engine.helper("box", "fuse_overlay")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: engine.rl("logs", "box").stdout == "kept\n", what="it runs again and has what it wrote")
    os.kill(engine.helper("box", "fuse_overlay"), signal.SIGKILL)
    assert engine.rl("wait", "box").stdout == "137\n"
    (document,) = json.loads(engine.rl("inspect", "box").stdout)
    assert document["RestartCount"] == 1
    log = (engine.data_root / "containers" / document["Id"] / "engine.log").read_text()
    assert log == "monitor: the root file system's server (fuse_overlay) died: signal 9\n" * 2


def test_what_runs_in_the_foreground_says_that_its_root_is_gone(engine: Engine) -> None:
    engine.environment["RL_STORAGE_DRIVER"] = "fuse"
    script = "echo ready; while ls / > /dev/null; do sleep 0.1; done; sleep 1000"
    command = engine.start("run", "--name", "box", *NONE, "busybox", "sh", "-c", script, stdout=PIPE, stderr=PIPE)
    assert command.stdout is not None
    assert command.stdout.readline() == "ready\n"
    os.kill(engine.helper("box", "fuse_overlay"), signal.SIGKILL)
    _out, err = command.communicate(timeout=20)
    assert command.returncode == 137
    assert "rl: the root file system's server (fuse_overlay) died: signal 9" in err


def test_a_killed_command_line_leaves_the_container_running(engine: Engine) -> None:
    command = engine.start("run", "--name", "box", *NONE, "busybox", "sleep", "1000", stdout=subprocess.DEVNULL)
    wait_until(lambda: "Up" in engine.rl("ps", "--filter", "name=box").stdout)
    command.kill()
    command.wait()
    assert engine.rl("exec", "box", "echo", "alive").stdout == "alive\n"


def test_a_killed_command_line_during_a_start_leaves_nothing_half_made(engine: Engine) -> None:
    for delay in range(0, 120, 8):
        command = engine.start("run", "-d", "--name", f"box{delay}", "busybox", "sleep", "1000", stdout=subprocess.DEVNULL)
        try:
            command.wait(delay / 1000)
        except subprocess.TimeoutExpired:
            command.kill()
            command.wait()
    for line in engine.rl("ps", "-a", "--format", "{{.Names}} {{.Status}}").stdout.splitlines():
        name, status = line.split(maxsplit=1)
        assert status.startswith(("Up", "Created", "Exited")), line
        engine.rl("rm", "-f", name)
    engine.rl("run", "--rm", "--name", "box0", *NONE, "busybox", "true")


def test_the_runtime_directory_may_vanish_under_a_running_container(engine: Engine) -> None:
    _start(engine, *NONE)
    shutil.rmtree(engine.runtime_dir)
    assert "Up" in engine.rl("ps").stdout
    assert engine.rl("exec", "box", "echo", "still").stdout == "still\n"
    assert engine.rl("start", "box", check=None).status != 0
    attached = engine.start("attach", "box", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    wait_until(lambda: list(engine.runtime_dir.glob("*.sock")))  # the monitor made it again
    engine.rl("stop", "-t", "0", "box")
    attached.communicate(timeout=10)
    engine.rl("rm", "box")
