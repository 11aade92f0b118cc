"""Commands that meet each other on one container: each of these went wrong in contrib/stress/lifecycle."""

import os
import signal
import subprocess
import time

from rootless.containers import ends, requests
from rootless.containers.store import ContainerStore
from rootless.linux import namespaces
from tests.support.engine import Engine, is_alive, wait_until

NONE = ("--network", "none")
POLITE = ("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done")


def _run(engine: Engine, *options: str, command: tuple[str, ...] = ("sleep", "1000"), name: str = "box") -> None:
    engine.rl("run", "-d", "--name", name, *NONE, *options, "busybox", *command)


def test_who_waits_for_an_end_does_not_wait_for_that_of_the_next_run(engine: Engine) -> None:
    """`rl stop`, when another command starts the container again at once: it waited half a minute for the new monitor's lock."""
    _run(engine)
    before = ContainerStore(engine.locations).find("box")
    engine.rl("restart", "-t", "0", "box")
    began = time.monotonic()
    ends.wait_for_record(engine.locations, before)
    assert time.monotonic() - began < 5
    assert engine.state("box")["Running"]


def test_a_restart_policy_that_comes_during_a_stop_does_not_undo_it(engine: Engine) -> None:
    """`rl stop` looked, saw no policy, and then waited half a minute for a container that its monitor had started again."""
    _run(engine)
    before = ContainerStore(engine.locations).find("box")
    engine.rl("update", "--restart", "always", "box")
    began = time.monotonic()
    os.kill(before["Rl"]["Init"][0], signal.SIGKILL)  # type: ignore[index]
    assert not ends.wait_for_record(engine.locations, before)
    stopping = engine.start("stop", "-t", "2", "box")
    time.sleep(0.5)
    engine.rl("update", "--restart", "always", "box", check=None)
    assert stopping.wait(20) == 0
    assert time.monotonic() - began < 15
    assert not engine.state("box")["Running"]


def test_restarts_at_the_same_time_all_succeed(engine: Engine) -> None:
    _run(engine, command=POLITE)
    processes = [engine.start("restart", "-t", "5", "box", stdout=subprocess.DEVNULL) for _number in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert engine.state("box")["Running"]


def test_a_monitor_that_was_killed_meanwhile_is_no_error(engine: Engine) -> None:
    for options in ((), ("--rm",)):
        _run(engine, *options)
        before = ContainerStore(engine.locations).find("box")
        monitor = engine.record("box")["Rl"]["Monitor"][0]
        os.kill(monitor, signal.SIGKILL)
        wait_until(lambda killed=monitor: not is_alive(killed))
        engine.rl("ps", "-a")  # notes its end
        assert requests.ask_monitor(engine.locations, before, {"op": "stop"}) is None
        engine.rl("rm", "-f", "box")


def test_a_container_that_waits_for_its_start_keeps_the_parent_namespace_known(engine: Engine) -> None:
    """Its init is closed to all who look for that; the next container made another one, and the two could not meet."""
    engine.rl("create", "--name", "box", *NONE, "busybox", "sleep", "1000")
    engine.rl("init", "box")
    _run(engine, name="other")
    engine.rl("start", "box")
    assert _parent_of(engine, "box") == _parent_of(engine, "other")
    engine.rl("cp", "/etc/passwd", "box:/tmp")


def test_a_command_below_an_init_keeps_the_parent_namespace_known(engine: Engine) -> None:
    _run(engine, "--init")
    engine.rl("cp", "/etc/passwd", "box:/tmp")
    _run(engine, name="other")
    assert _parent_of(engine, "box") == _parent_of(engine, "other")


def _parent_of(engine: Engine, container: str) -> int:
    """Return the inode of the user namespace above a container's."""
    own = namespaces.open_namespace(engine.record(container)["Rl"]["Entry"][0], namespaces.NEWUSER)
    parent = namespaces.parent_of(own)
    try:
        return os.fstat(parent).st_ino
    finally:
        os.close(own)
        os.close(parent)


def test_what_a_container_with_an_init_has_written_late_is_seen(engine: Engine) -> None:
    engine.environment["RL_STORAGE_DRIVER"] = "fuse"
    _run(engine, "--init")
    engine.rl("exec", "box", "touch", "/made")
    assert engine.rl("diff", "box").stdout == "A /made\n"


def test_a_container_that_waits_for_its_start_is_not_copied_into(engine: Engine) -> None:
    engine.rl("create", "--name", "box", *NONE, "busybox", "true")
    engine.rl("init", "box")
    assert "is not running" in engine.rl("cp", "/etc/passwd", "box:/tmp", check=1).stderr
