"""Many containers at the same time: all are up, lists tell it, and they stop side by side."""

import subprocess
import time

from tests.support.engine import Engine, wait_until

COUNT = 40
AT_ONCE = 8
STUBBORN = ("sh", "-c", "trap '' TERM; while :; do sleep 1; done")


def test_forty_containers_run_and_stop_side_by_side(engine: Engine) -> None:
    names = [f"box{number}" for number in range(COUNT)]
    for first in range(0, COUNT, AT_ONCE):
        starts = [
            engine.start("run", "-d", "--name", name, "busybox", "sleep", "1000", stdout=subprocess.PIPE)
            for name in names[first : first + AT_ONCE]
        ]
        for start in starts:
            start.communicate(timeout=60)
            assert start.returncode == 0
    listed = engine.rl("ps", "--format", "{{.Names}} {{.State}}").stdout.split("\n")
    assert sorted(listed) == sorted(["", *(f"{name} running" for name in names)])
    pids = {pid for pid, line in engine.processes() if line.startswith("rl monitor")}
    assert len(pids) == COUNT
    assert sorted(engine.rl("stop", "--all", "-t", "1").stdout.split()) == sorted(names)
    assert engine.rl("ps", "-q").stdout == ""
    assert len(engine.rl("ps", "-aq", "--filter", "exited=137").stdout.split()) == COUNT
    wait_until(lambda: not engine.processes(), what="no process is left")
    engine.rl("rm", *names)


def test_those_that_ignore_the_signal_wait_at_the_same_time(engine: Engine) -> None:
    """Six that take two seconds each take less than one after the other would."""
    names = [f"box{number}" for number in range(6)]
    for name in names:
        engine.rl("run", "-d", "--name", name, "--network", "none", "busybox", *STUBBORN)
    begin = time.monotonic()
    engine.rl("stop", "-t", "2", *names)
    assert time.monotonic() - begin < 2 * len(names)
    assert engine.rl("ps", "-q").stdout == ""
