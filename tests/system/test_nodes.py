"""One data root on two nodes: neither repairs, ends, starts or removes what the other runs."""

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.engine import Engine, is_alive, wait_until
from tests.support.other_node import OtherNode

NONE = ("--network", "none")
SLEEP = ("busybox", "sleep", "1000")
pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="gives commands another node name: needs root")


@pytest.fixture
def nodes(engine: Engine) -> Iterator[tuple[Engine, OtherNode]]:
    """The engine of this node, and one of another."""
    other = OtherNode(engine.folder, "elsewhere")
    yield engine, other
    for container in other.rl("ps", "-aq", "--filter", "status=running").stdout.split():
        other.rl("rm", "-f", container, check=None)  # those that it runs itself


def test_the_other_node_shows_what_runs_and_leaves_it_alone(nodes: tuple[Engine, OtherNode]) -> None:
    here, there = nodes
    here.rl("run", "-d", "--name", "box", "--restart", "always", "-v", "vol:/vol", "--health-cmd", "true", *NONE, *SLEEP)
    record = here.record("box")
    assert f"running on {os.uname().nodename}" in there.rl("ps").stdout
    refused = [
        *(("start", "box"), ("stop", "box"), ("restart", "box"), ("kill", "box"), ("rm", "box"), ("rm", "-f", "box")),
        *(("exec", "box", "true"), ("attach", "box"), ("logs", "-f", "box"), ("wait", "box"), ("top", "box")),
        *(("rename", "box", "other"), ("update", "--restart", "no", "box"), ("init", "box"), ("clone", "--destroy", "-f", "box")),
        *(("run", "--rm", "--network", "container:box", "busybox", "true"), ("healthcheck", "run", "box")),
        *(("cp", "/etc/hostname", "box:/copied"), ("cp", "/etc/hostname", "box:/vol/copied")),
    ]
    for arguments in refused:
        result = there.rl(*arguments, check=None)
        assert result.status != 0, arguments
        assert os.uname().nodename in result.stderr, (arguments, result)
    assert there.rl("ps", "-aq").stdout.split() == [record["Id"][:12]]
    there.rl("start", "--all")
    there.rl("container", "prune", "-f")
    there.rl("system", "prune", "-af", "--volumes")
    there.rl("rm", "-a", check=None)
    assert here.record("box") == record
    assert here.state("box")["Running"]
    assert here.rl("exec", "box", "echo", "alive").stdout == "alive\n"
    assert there.rl("logs", "box").stdout == ""
    assert there.rl("volume", "ls", "-q").stdout == "vol\n"


def test_a_monitor_that_died_elsewhere_is_repaired_there_only(nodes: tuple[Engine, OtherNode]) -> None:
    here, there = nodes
    here.rl("run", "-d", "--name", "box", *NONE, *SLEEP)
    record = here.record("box")
    monitor, init = record["Rl"]["Monitor"][0], record["Rl"]["Init"][0]
    os.kill(monitor, signal.SIGKILL)
    wait_until(lambda: not is_alive(init), what="init has ended with its monitor")
    assert "running on" in there.rl("ps", "-a").stdout
    assert os.uname().nodename in there.rl("start", "box", check=1).stderr
    assert here.record("box") == record
    assert here.rl("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box").stdout == "exited 137\n"


def test_a_container_that_ended_can_go_on_on_the_other_node(nodes: tuple[Engine, OtherNode]) -> None:
    here, there = nodes
    here.rl("run", "--name", "box", *NONE, "busybox", "sh", "-c", "echo ran on $(hostname) >> /note; tail -n 1 /note; sleep 0.1")
    there.rl("start", "-a", "box")
    assert there.record("box")["Rl"]["Node"] == "elsewhere"
    assert len(here.rl("logs", "box").stdout.splitlines()) == 2
    there.rl("restart", "box")
    wait_until(lambda: there.state("box")["Status"] == "exited", what="it has ended again")
    there.rl("rm", "box")
    assert here.rl("ps", "-aq").stdout == ""


def test_of_two_nodes_that_start_it_at_the_same_time_one_does(nodes: tuple[Engine, OtherNode]) -> None:
    here, there = nodes
    here.rl("create", "--name", "box", *NONE, *SLEEP)
    for _round in range(5):
        starts = [node.start("start", "box", stdout=subprocess.PIPE, stderr=subprocess.PIPE) for node in (here, there)]
        statuses = []
        for process in starts:
            _out, err = process.communicate(timeout=60)
            assert "Traceback" not in err
            statuses.append(process.returncode)
        assert sorted(statuses) == [0, 1]
        winner = (here, there)[statuses.index(0)]
        assert len([line for _pid, line in here.processes() if line.startswith("rl monitor")]) == 1
        winner.rl("stop", "-t", "0", "box")
