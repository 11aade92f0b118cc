"""One of those who call `rl` again and again at the same time; each call is a process of its own."""

import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO, Final, NamedTuple

from tests.support.engine import Engine
from tests.support.life_cycle.commands import Call, choose
from tests.support.life_cycle.journal import Entry, Journal
from tests.support.life_cycle.kills import kill_something

PATIENCE: Final = 30.0
"""Seconds for a call that waits for no container, on a busy machine."""
_KILLED: Final = frozenset({-signal.SIGKILL, -signal.SIGHUP})
_MANY: Final = 3  # calls that last, which a caller leaves running


class Shares(NamedTuple):
    """How many of all steps kill something else, or the command itself."""

    kills: float = 0.06
    killed: float = 0.06


class Running(NamedTuple):
    """A call that goes on."""

    call: Call
    process: "subprocess.Popen[str]"
    began: float
    errors: IO[str]


class Caller:
    """Makes one call after the other; those that last are left running, for `settle`."""

    def __init__(self, engine: Engine, number: int, seed: str, journal: Journal, shares: Shares) -> None:
        self._engine = engine
        self._number = number
        self._rng = random.Random(seed)
        self._journal = journal
        self._shares = shares
        self.lasting: list[Running] = []

    def run(self, steps: int) -> None:
        """Make so many steps."""
        for _step in range(steps):
            if self._rng.random() < self._shares.kills:
                self._kill()
            else:
                self._call(choose(self._rng))

    def has_waiting(self) -> bool:
        """Tell whether a call goes on that ends with its container."""
        return any(not running.call.outlasts_an_end and running.process.poll() is None for running in self.lasting)

    def settle(self, *, removed: bool) -> None:
        """Wait for the end of the calls that last: the containers have ended, or were even `removed`."""
        deadline = time.monotonic() + PATIENCE
        for running in tuple(self.lasting):
            if removed or not running.call.outlasts_an_end:
                self.lasting.remove(running)
                self._finish(running, max(0.1, deadline - time.monotonic()))

    def _kill(self) -> None:
        began = self._journal.now()
        what = kill_something(self._engine, self._rng)
        if what is not None:
            self._journal.note(Entry(began, self._journal.now(), self._number, what, None, ""), killed=True)

    def _call(self, call: Call) -> None:
        killed, moment = self._rng.random() < self._shares.killed, self._rng.uniform(0, 0.5)
        errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed when the call has ended
        process = self._engine.start(
            *call.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True
        )
        running = Running(call, process, self._journal.now(), errors)
        if killed:
            time.sleep(moment)
            process.kill()
            self._finish(running, PATIENCE)
        elif not call.lasts or _ends_within(process, moment):
            self._finish(running, PATIENCE)
        else:
            self.lasting.append(running)
            if len(self.lasting) > _MANY:
                oldest = self.lasting.pop(0)
                oldest.process.send_signal(self._rng.choice((signal.SIGKILL, signal.SIGHUP)))  # neither is for the container
                self._finish(oldest, PATIENCE)

    def _finish(self, running: Running, seconds: float) -> None:
        """Wait for the end of a call, and judge it."""
        process, name = running.process, "rl " + " ".join(running.call.arguments)
        if not _ends_within(process, seconds):
            self._journal.blame(f"{name} (PID {process.pid}) does not end:\n{_where(process.pid)}")
            process.kill()
            process.wait()
        running.errors.seek(0)
        said = running.errors.read()
        running.errors.close()
        status, killed = process.returncode, process.returncode in _KILLED
        entry = Entry(running.began, self._journal.now(), self._number, name.removeprefix("rl "), status, said)
        self._journal.note(entry, killed=killed, lasts=running.call.lasts)
        if not killed and status not in running.call.statuses:
            self._journal.blame(f"{name}: the exit status {status} is none of this command's: {said}")
        if any(words in said for words in ("Traceback", "defect", *self._of_late_comers())):
            self._journal.blame(f"{name}: {said}")

    def _of_late_comers(self) -> tuple[str, ...]:
        """Return the kernel's words for what was there a moment ago: a command says which container has ended, or is gone."""
        return (
            f"No such file or directory: {self._engine.data_root}/containers/",
            "setns: ",
            "rl: Broken pipe",
            "rl: Connection reset",
            "does not answer",
        )


def _ends_within(process: "subprocess.Popen[str]", seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _where(pid: int) -> str:
    """Return where a process hangs, as far as we are let look."""
    parts = []
    for name in ("wchan", "stack", "syscall"):
        try:
            parts.append(f"{name}: {Path(f'/proc/{pid}/{name}').read_text().strip()}")
        except OSError as error:
            parts.append(f"{name}: {error.strerror}")
    return "\n".join(parts)
