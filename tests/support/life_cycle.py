"""Random life-cycle commands from several processes on the same few containers, kills in between, and what must hold after.

A worker runs one command at a time; each must end in time, with a status that its verb documents, and without a traceback. After a
round, when all is quiet, the records are compared with the processes that there are.
"""

import json
import os
import random
import re
import signal
import subprocess
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.support.engine import Engine, is_alive, wait_until

NAMES: Final = ("alpha", "beta", "gamma", "delta", "epsilon")
_NONE: Final = ("--network", "none")
_SLEEP: Final = ("busybox", "sleep", "1000")
_POLITE: Final = ("busybox", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")
_SHORT: Final = ("busybox", "sh", "-c", "echo line; exit 3")

# NAME stands for a container, FILE for a file of the worker's; the second column is what else may come out than 0, 1 and 125.
COMMANDS: Final[tuple[tuple[tuple[str, ...], frozenset[int]], ...]] = tuple(
    (arguments, frozenset(statuses))
    for arguments, statuses in (
        (("run", "-d", "--name", "NAME", *_NONE, *_SLEEP), ()),
        (("run", "-d", "--name", "NAME", *_POLITE), ()),
        (("run", "-d", "--name", "NAME", *_NONE, "--restart", "always", *_SHORT), ()),
        (("run", "--name", "NAME", *_NONE, *_SHORT), (3, 137, 143)),
        (("run", "--rm", "--name", "NAME", *_NONE, "-v", "/anonymous", *_SHORT), (3, 137, 143)),
        (("run", "-d", "--replace", "--name", "NAME", *_NONE, *_SLEEP), ()),
        (("create", "--name", "NAME", *_NONE, "-v", "shared:/data", *_SLEEP), ()),
        (("create", "--name", "NAME", *_NONE, *_SHORT), ()),
        (("init", "NAME"), ()),
        (("start", "NAME"), ()),
        (("start", "NAME"), ()),
        (("start", "-a", "--sig-proxy=false", "NAME"), (3, 137, 143)),
        (("stop", "-t", "0", "NAME"), ()),
        (("stop", "-t", "1", "NAME"), ()),
        (("restart", "-t", "0", "NAME"), ()),
        (("kill", "NAME"), ()),
        (("kill", "-s", "TERM", "NAME"), ()),
        (("wait", "NAME"), ()),
        (("rename", "NAME", "OTHER"), ()),
        (("rm", "NAME"), ()),
        (("rm", "-f", "NAME"), ()),
        (("rm", "-fv", "NAME"), ()),
        (("container", "prune", "-f"), ()),
        (("update", "--restart", "on-failure:2", "NAME"), ()),
        (("exec", "NAME", "true"), (126, 127, 137, 143)),
        (("exec", "-d", "NAME", "sleep", "0.3"), (126, 127)),
        (("cp", "FILE", "NAME:/copied"), ()),
        (("cp", "NAME:/etc/passwd", "-"), ()),
        (("logs", "NAME"), ()),
        (("logs", "-f", "NAME"), ()),
        (("attach", "--no-stdin", "--sig-proxy=false", "NAME"), (3, 137, 143)),
        (("top", "NAME"), ()),
        (("inspect", "NAME"), ()),
        (("ps", "-a", "--size"), ()),
        (("diff", "NAME"), ()),
        (("commit", "NAME", "committed"), ()),
        (("export", "NAME"), ()),
        (("clone", "NAME", "OTHER"), ()),
        (("events", "--since", "1m", "--until", "0s"), ()),
        (("healthcheck", "run", "NAME"), ()),
    )
)
_ENDLESS: Final = frozenset({"attach", "logs", "start", "wait"})
"""Verbs that go on for as long as a container does: they are interrupted."""
_INTERRUPT_AFTER: Final = 0.5  # seconds
_DEADLOCK_AFTER: Final = 90.0  # seconds, on a machine that is busy with nine others
_OURS: Final = re.compile(r'File "[^"]*/(?:cli|rootless)/')
_KILL_CLIENT, _KILL_ENGINE = 0.04, 0.03  # probabilities, each step


class Step(NamedTuple):
    """One command and how it ended."""

    command: str
    status: int
    stderr: str
    killed: bool


class Storm:
    """So many workers; `seed` fixes what each of them does, though not when."""

    def __init__(self, engine: Engine, workers: int, seed: int) -> None:
        self.engine = engine
        self.statuses: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()
        self.wrong: list[Step] = []
        self._workers = workers
        self._random = random.Random(seed)
        self._guard = threading.Lock()

    def run(self, steps: int) -> None:
        """Do so many steps, all workers together."""
        threads = [
            threading.Thread(target=self._work, args=(random.Random(self._random.random()), steps // self._workers, number))
            for number in range(self._workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _work(self, dice: random.Random, steps: int, number: int) -> None:
        file = self.engine.folder / "home" / f"file-{number}"
        file.write_text("content\n")
        for _step in range(steps):
            template, statuses = dice.choice(COMMANDS)
            places = {"NAME": dice.choice(NAMES), "OTHER": dice.choice(NAMES), "FILE": str(file)}
            arguments = tuple(places.get(part, part.replace("NAME:", f"{places['NAME']}:")) for part in template)
            if dice.random() < _KILL_ENGINE:
                self._kill_engine(dice)
            step = self._step(arguments, dice.random() * 0.3 if dice.random() < _KILL_CLIENT else None)
            allowed = statuses | {0, 1, 125} | ({130, -signal.SIGINT} if arguments[0] in _ENDLESS else set())
            with self._guard:
                self.statuses[f"{step.status}"] += 1
                if not step.killed and (step.status not in allowed or "Traceback" in step.stderr or "defect" in step.stderr):
                    self.wrong.append(step)

    def _step(self, arguments: tuple[str, ...], kill_after: float | None) -> Step:
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        process = self.engine.start(*arguments, **streams)
        command = " ".join(arguments)
        seconds = kill_after if kill_after is not None else _INTERRUPT_AFTER if arguments[0] in _ENDLESS else _DEADLOCK_AFTER
        try:
            err = process.communicate(timeout=seconds)[1]
        except subprocess.TimeoutExpired:
            if kill_after is None and arguments[0] not in _ENDLESS:
                stuck = _stack_of(process.pid)
                process.kill()
                process.communicate()
                return Step(command, -1, f"no end after {_DEADLOCK_AFTER} s: {stuck}", killed=False)
            process.send_signal(signal.SIGINT if kill_after is None else signal.SIGKILL)
            try:
                err = process.communicate(timeout=_DEADLOCK_AFTER)[1]
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                return Step(command, -1, "no end after SIGINT", killed=False)
            with self._guard:
                self.kills["command"] += kill_after is not None
            if "Traceback" in err and _OURS.search(err) is None:  # interrupted before the interpreter had come to our code
                return Step(command, process.returncode, err, killed=True)
        return Step(command, process.returncode, err, killed=process.returncode == -signal.SIGKILL)

    def _kill_engine(self, dice: random.Random) -> None:
        """Kill a process of the engine or of a container, whichever; not a command, whose end is looked at."""
        victims = [(pid, line) for pid, line in self.engine.processes() if " -m cli" not in line] + self._inits()
        if not victims:
            return
        pid, line = dice.choice(victims)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        with self._guard:
            self.kills[" ".join(line.split()[:2])] += 1

    def _inits(self) -> list[tuple[int, str]]:
        """Return the first processes of containers, which have no environment of the engine's."""
        found = []
        for path in (self.engine.data_root / "containers").glob("*/container.json"):
            try:
                init = json.loads(path.read_text())["Rl"]["Init"]
            except (FileNotFoundError, NotADirectoryError):  # removed just now
                continue
            if init is not None and start_time(init[0]) == init[1]:
                found.append((init[0], "container init"))
        return found

    def check(self) -> None:
        """Compare records and processes when all is quiet; fail with what is wrong."""
        assert self.wrong == [], "\n".join(map(str, self.wrong[:10]))
        for document in self._documents():
            wait_until(lambda one=document: self._tells_the_truth(one["Id"]), 20, f"the record is right: {document['State']}")
        for name in NAMES:
            self.engine.rl("update", "--restart", "no", name, check=None)
            self.engine.rl("stop", "-t", "0", name, check=None)
        documents = self._documents()
        names = [document["Name"] for document in documents]
        assert len(names) == len(set(names))
        assert set(names) <= {f"/{name}" for name in NAMES}
        for document in documents:
            assert not document["State"]["Running"], document["State"]
            assert document["State"]["Status"] in ("created", "exited"), document["State"]
        wait_until(lambda: not self.engine.processes(), 30, f"no process is left: {self.engine.processes()}")
        for document in documents:
            self._check_usable(document["Name"].lstrip("/"))

    def _tells_the_truth(self, container_id: str) -> bool:
        """Tell whether a container's state is that of its processes; one that is started again just now is asked again."""
        result = self.engine.rl("inspect", container_id, check=None)
        if result.status != 0:
            return True  # with --rm it has gone meanwhile
        (document,) = json.loads(result.stdout)
        state, monitors = document["State"], [line for _pid, line in self.engine.processes() if line.startswith("rl monitor")]
        has_monitor = any(container_id[:12] in line for line in monitors)
        is_up = state["Pid"] > 0 and is_alive(state["Pid"])
        return bool(is_up and has_monitor) if state["Status"] == "running" else not is_up or state["Status"] == "initialized"

    def _documents(self) -> list[dict[str, Any]]:
        ids = self.engine.rl("ps", "-aq", "--no-trunc").stdout.split()
        documents: list[dict[str, Any]] = json.loads(self.engine.rl("inspect", *ids).stdout) if ids else []
        return documents

    def _check_usable(self, name: str) -> None:
        """Start what is left: it runs, its record says so, and it can be ended and removed."""
        self.engine.rl("start", name, check=None)
        state = self.engine.state(name)
        if state["Running"] and state["Status"] == "running":
            assert is_alive(state["Pid"]) or self.engine.state(name)["Status"] == "exited", state
        else:
            assert state["StartedAt"] != "0001-01-01T00:00:00Z", state
        self.engine.rl("rm", "-f", name)

    def check_nothing_is_left(self) -> None:
        """Fail with files that belong to no container any more."""
        assert self.engine.rl("ps", "-aq").stdout == ""
        root = self.engine.data_root
        wait_until(lambda: not _names_in(root / "trash"), 30, "the trash is empty")
        assert _names_in(root / "containers") == []
        assert _names_in(root / "names") == []
        assert set(self.engine.rl("volume", "ls", "-q").stdout.split()) <= {"shared"} | self._anonymous()

    def _anonymous(self) -> set[str]:
        """Return the anonymous volumes that no --rm and no `rm -v` was there to remove."""
        return {name for name in self.engine.rl("volume", "ls", "-q").stdout.split() if len(name) == 64}


def _names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def start_time(pid: int) -> int | None:
    """Return when a process was started, in clock ticks (proc(5)); None where it is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _stack_of(pid: int) -> str:
    """Return where a process waits in the kernel, and what it has open."""
    try:
        where = Path(f"/proc/{pid}/wchan").read_text()
        opened = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError as error:
        return str(error)
    return f"{where} {opened}"
