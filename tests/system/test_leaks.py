"""Many containers, and many commands in one, leave nothing on the node: contrib/stress/leaks does this with thousands."""

import os
import time
from pathlib import Path

from rootless.locations import fallback_runtime_dir
from tests.support import node_state
from tests.support.engine import Engine, is_alive, wait_until
from tests.support.test_user import USER

COUNT = int(os.environ.get("RL_TEST_REPETITIONS", "20"))
MANY = 500  # from here on a leak of each would stand out in what the kernel counts for all users
MAX_NOTES = 4  # of dead processes that may wait for the next look-up, however many have been there
_PATIENCE = 60.0  # seconds for what ends in the background: monitors that delete, keys that are collected


class Comparison:
    """The node now, to be compared with what it is later."""

    def __init__(self, engine: Engine) -> None:
        self._folders = [engine.data_root, engine.runtime_dir, Path("/dev/shm"), Path(fallback_runtime_dir(USER.pw_uid))]
        self._parents = engine.runtime_dir / "parent"
        self._before = self._take()
        self._kernel = node_state.kernel_objects()
        self._begun = time.monotonic()

    def check(self, what: str) -> None:
        """Wait until all is as it was, but for what is noted on purpose; fail with what is not."""
        self._after = self._before

        def is_as_before() -> bool:
            self._after = self._take()
            return self._left() == []

        seconds = time.monotonic() - self._begun
        try:
            wait_until(is_as_before, _PATIENCE)
        except AssertionError:
            assert self._left() == []
        kernel = node_state.kernel_objects()
        print(f"\n{what}: {seconds:.0f} s\n  before: {self._before.summary()}\n  after:  {self._after.summary()}")
        print(f"  the kernel, for all users: {self._kernel} -> {kernel}")
        if COUNT >= MANY:
            assert {name: kernel[name] - count for name, count in self._kernel.items() if kernel[name] - count > COUNT // 2} == {}

    def _take(self) -> node_state.NodeState:
        """Return the state, but for the notes of dead processes in the parent namespace: the next look-up drops them."""
        state = node_state.take(*self._folders)
        notes = {name for name in state.files if name.startswith(f"{self._parents}/")}
        dead = {name for name in notes if not is_alive(int(os.path.basename(name).partition("-")[0]))}
        assert len(dead) <= MAX_NOTES, dead
        return state._replace(files=state.files - dead)

    def _left(self) -> list[str]:
        return self._before.differences(self._after)


def test_containers_leave_nothing(engine: Engine) -> None:
    engine.rl("run", "--rm", "busybox", "true")
    wait_until(lambda: not engine.processes())
    comparison = Comparison(engine)
    for number in range(COUNT):
        options = ("--init",) if number % 4 == 1 else ("-t",) if number % 4 == 2 else ()
        engine.rl("run", "--rm", *options, "busybox", "true")
    comparison.check(f"{COUNT} x run --rm")


def test_commands_in_a_container_leave_nothing(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "box", "busybox", "sleep", "100000")
    engine.rl("exec", "box", "true")
    wait_until(lambda: not [line for _pid, line in engine.processes() if "exec" in line])
    comparison = Comparison(engine)
    for number in range(COUNT):
        options = ("-t",) if number % 4 == 1 else ("-i",) if number % 4 == 2 else ("-d",) if number % 4 == 3 else ()
        engine.rl("exec", *options, "box", "true")
    comparison.check(f"{COUNT} x exec")


def test_containers_that_fail_to_start_leave_nothing(engine: Engine) -> None:
    ways = (("busybox", "nosuch"), ("-u", "nosuch", "busybox", "true"), ("-w", "/etc/passwd", "busybox", "true"))
    ways += (("-v", "/etc/passwd:/etc", "busybox", "true"),)
    engine.rl("run", "--rm", *ways[-1], check=125)
    wait_until(lambda: not engine.processes())
    comparison = Comparison(engine)
    for number in range(COUNT):
        assert engine.rl("run", "--rm", *ways[number % len(ways)], check=None).status in (125, 126, 127)
    comparison.check(f"{COUNT} x a run that fails")
