"""Rounds of random life-cycle commands at the same time on the same containers, with kill -9 sprinkled in.

A round: each caller makes its steps, all of them at the same time. Then it is quiet, and what the engine has written down is
compared with the truth (`truth`): first with the containers as they are, then after a stop of all of them, which must end every
call that waits for one, and then after their removal, when everything must be as it was before the round.
"""

import os
import random
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from rootless.locations import fallback_runtime_dir
from tests.support import node_state
from tests.support.engine import Engine, is_alive
from tests.support.life_cycle import truth
from tests.support.life_cycle.caller import PATIENCE, Caller, Shares
from tests.support.life_cycle.commands import COMMITTED, IMAGE, NAMES, NO_SUCH_COMMAND
from tests.support.life_cycle.journal import Journal
from tests.support.test_user import USER

_LONG_AGO: Final = 3600.0  # seconds: what killed commands left is collected when it is older than a minute
# What a killed commit has stored, as `rl system prune` removes it when it is an hour old.
_A_DAY: Final = 86_400.0  # seconds: unfinished blobs are kept for that long
_SWEEP: Final = (
    "import sys, time; from rootless.images.sweep import sweep; from rootless.locations import Locations; "
    f"sweep(Locations(*sys.argv[1:]), lambda: (), time.time() + {2 * _A_DAY})"
)


class Plan(NamedTuple):
    """How long, by how many, and what decides about every choice."""

    steps: int  # of all callers
    callers: int
    seed: str
    steps_a_round: int = 15  # of each caller
    shares: Shares = Shares()


class Storm:
    """The rounds on one data root."""

    def __init__(self, engine: Engine, plan: Plan) -> None:
        self._engine = engine
        self._plan = plan
        self.journal = Journal()
        self._warm_up()
        self._before = self._take()

    def run(self) -> None:
        """Run all rounds, and raise `AssertionError` after the first in which something was wrong."""
        plan, number = self._plan, 0
        while self.journal.steps < plan.steps:
            number += 1
            self._round(number)
            if self.journal.faults:
                faults = "\n".join(self.journal.faults)
                raise AssertionError(f"seed {plan.seed}, round {number}:\n{self.journal.story()}\n\n{faults}")

    def _round(self, number: int) -> None:
        self.journal.forget_entries()
        seed = f"{self._plan.seed}/{number}"
        self._engine.environment["RL_STORAGE_DRIVER"] = random.Random(seed).choice(("overlay", "overlay", "fuse", "vfs"))
        callers = [
            Caller(self._engine, index, f"{seed}/{index}", self.journal, self._plan.shares) for index in range(self._plan.callers)
        ]
        self._let_call(callers)
        self._check("quiet", truth.problems)
        ids = {path.name for path in (self._engine.data_root / "containers").glob("*")}
        self._stop_all(callers)
        for caller in callers:
            caller.settle(removed=False)
        self._check("all stopped", truth.problems_after_a_stop)
        self._start_all()
        self._remove_containers()
        for caller in callers:
            caller.settle(removed=True)
        self._tidy_up()
        self._check("all removed", lambda engine: [*truth.problems_of_the_end(engine), *self._differences()])
        self._check("all removed", lambda _engine: truth.cgroups_of(ids))

    def _let_call(self, callers: list[Caller]) -> None:
        def run(caller: Caller) -> None:
            try:
                caller.run(self._plan.steps_a_round)
            except Exception:  # it would be lost with the thread
                self.journal.blame(f"a defect of the test:\n{traceback.format_exc()}")

        threads = [threading.Thread(target=run, args=(caller,)) for caller in callers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _check(self, when: str, find: Callable[[Engine], list[str]]) -> None:
        for problem in truth.problems_that_stay(lambda: find(self._engine)):
            self.journal.blame(f"{when}: {problem}")

    def _rl(self, *arguments: str) -> str:
        """Run a command that must succeed now that nobody else works there."""
        result = self._engine.rl(*arguments, check=None)
        if result.status != 0:
            self.journal.blame(f"rl {' '.join(arguments)}: {result}")
        return result.stdout

    def _warm_up(self) -> None:
        """Have everything made that stays."""
        self._rl("run", "--name", NAMES[0], "-v", "shared:/shared", IMAGE, "true")
        self._rl("commit", NAMES[0], f"{COMMITTED}:warm")
        self._remove_containers()
        self._tidy_up()

    def _stop_all(self, callers: list[Caller]) -> None:
        """Stop all containers, again while calls are left that have just begun: what they start was not there to be stopped."""
        self._rl("stop", "-a", "-t", "0")
        deadline = time.monotonic() + PATIENCE / 2
        while any(caller.has_waiting() for caller in callers) and time.monotonic() < deadline:
            time.sleep(0.5)
            self._rl("stop", "-a", "-t", "0")

    def _start_all(self) -> None:
        """Start what is left: however it came to its state, it can be used."""
        for container_id in self._rl("ps", "-aq").split():
            started = self._engine.rl("start", container_id, check=None)
            if started.status != 0 and NO_SUCH_COMMAND not in started.stderr:
                self.journal.blame(f"rl start {container_id}: {started}")

    def _remove_containers(self) -> None:
        ids = self._rl("ps", "-aq").split()
        if ids:
            self._rl("rm", "-fv", *ids)

    def _tidy_up(self) -> None:
        """Have everything collected that commands left which were killed, and remove images and volumes that were made."""
        self._grow_old()
        self._rl("create", "--name", NAMES[0], IMAGE)
        self._rl("rm", NAMES[0])
        images = self._rl("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        made = [image for image in images if COMMITTED in image]
        if made:
            self._rl("rmi", "-f", *made)
        self._rl("image", "prune", "-f")
        self._rl("volume", "prune", "-f")
        self._engine.python("-c", _SWEEP, *self._engine.locations)

    def _grow_old(self) -> None:
        """Set back the clock of what is left alone for its first minute: folders without a record, halves of volumes, sockets."""
        long_ago = time.time() - _LONG_AGO
        root = self._engine.data_root
        for path in (*root.glob("containers/*"), *root.glob("volumes/.new-*"), *self._engine.runtime_dir.glob("*.sock")):
            os.utime(path, (long_ago, long_ago))

    def _differences(self) -> list[str]:
        return self._before.differences(self._take())

    def _take(self) -> node_state.NodeState:
        """Return the node's state, but for the notes of dead processes in the parent namespace: the next look-up drops them."""
        engine = self._engine
        folders = (engine.data_root, engine.runtime_dir, Path("/dev/shm"), Path(fallback_runtime_dir(USER.pw_uid)))
        state = node_state.take(*folders)
        notes = {name for name in state.files if name.startswith(f"{engine.runtime_dir}/parent/")}
        dead = {name for name in notes if not is_alive(int(os.path.basename(name).partition("-")[0]))}
        return state._replace(files=state.files - dead)
