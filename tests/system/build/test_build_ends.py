"""Builds that are interrupted or killed leave the store whole, and no process."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.engine import Engine, wait_until
from tests.system.build.test_context import make_context

pytestmark = pytest.mark.engine

_MARK = "sleep 0.10203"
_LONG = f"FROM busybox\nRUN while :; do {_MARK}; done\n"


def is_step_there(engine: Engine) -> bool:
    """Tell whether a process of the step lives; it has nothing of our environment."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and (entry / "cmdline").read_bytes().startswith(_MARK.replace(" ", "\0").encode()):
                return True
    return False


def wait_for_step(engine: Engine) -> None:
    wait_until(lambda: is_step_there(engine), 20, "the step runs")


def test_ctrl_c_ends_a_step(engine: Engine) -> None:
    folder = make_context(engine, _LONG, {})
    build = engine.start("build", "--network", "none", str(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for_step(engine)
    build.send_signal(signal.SIGINT)
    _out, err = build.communicate(timeout=30)
    assert build.returncode != 0
    assert "Traceback" not in err
    assert engine.rl("ps", "-aq").stdout == ""


@pytest.mark.parametrize("kills_monitor", [False, True])
def test_a_killed_build_ends_its_step(engine: Engine, kills_monitor: bool) -> None:
    folder = make_context(engine, _LONG, {})
    build = engine.start("build", "--network", "none", str(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_step(engine)
    if kills_monitor:
        (monitor,) = [pid for pid, line in engine.processes() if line.startswith("rl monitor")]
        os.kill(monitor, signal.SIGSTOP)  # so that it cannot do it itself
    build.kill()
    build.wait()
    if kills_monitor:
        os.kill(monitor, signal.SIGKILL)
        wait_until(lambda: engine.rl("ps", "-aq").stdout == "", 20, "whoever reads the record removes the container")
    wait_until(lambda: not engine.processes(), 20, "all processes have ended")
    wait_until(lambda: not is_step_there(engine), 20, "the step has ended")
    assert list((engine.data_root / "containers").iterdir()) == []
    assert engine.rl("ps", "-aq").stdout == ""


def test_a_build_killed_at_any_time_leaves_a_whole_store(engine: Engine) -> None:
    lines = ["FROM busybox AS one", "WORKDIR /w", "COPY . /c", "RUN echo x > /y", "FROM busybox", "COPY --from=one /c /d"]
    folder = make_context(engine, "\n".join(lines), {f"f{number}": "x" * 1000 for number in range(50)})
    for seconds in (0.2 + 0.13 * number for number in range(8)):
        build = engine.start("build", "--no-cache", "--network", "none", str(folder), stdout=subprocess.DEVNULL)
        try:
            build.wait(seconds)
        except subprocess.TimeoutExpired:
            build.kill()
            build.wait()
        wait_until(lambda: not engine.processes(), 20, "all processes have ended")
        assert engine.rl("ps", "-aq").stdout == ""
        assert engine.rl("system", "check").status == 0
    assert engine.rl("build", "--network", "none", "-q", str(folder)).stdout.startswith("sha256:")
    assert list((engine.data_root / "build-scratch").iterdir()) == []


def test_ctrl_c_at_any_time_says_nothing_of_ours(engine: Engine) -> None:
    lines = ["FROM busybox AS one", "COPY . /c", "FROM busybox AS two", "COPY . /c", "FROM one", "COPY --from=two /c /d"]
    folder = make_context(engine, "\n".join(lines), {f"f{number}": "x" * 1000 for number in range(3000)})
    for seconds in (0.15 + 0.2 * number for number in range(6)):
        streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        build = engine.start("build", "--no-cache", "--network", "none", str(folder), process_group=0, **streams)
        try:
            build.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(build.pid, signal.SIGINT)
        _out, err = build.communicate(timeout=30)
        assert "Traceback" not in err, (seconds, err)
        wait_until(lambda: not engine.processes(), 20, "all processes have ended")
    assert engine.rl("ps", "-aq").stdout == ""
    assert engine.rl("system", "check").status == 0
    assert list((engine.data_root / "build-scratch").iterdir()) == []
