"""Building the stages of a plan, those that do not need each other side by side.

Theory of operation. The engine forks a lot (monitors, workers in the parent namespace), so a process that builds has one thread,
and a stage beside another one has a process of its own, a fork of ours:

    builder                              stage
    fork ------------------------------> goes through its steps; its output is a pipe
         <------- lines of output        printed with the stage's name before each
         <------- state, or error        as JSON over a second pipe, whose end is also that of the process
    the state becomes a `Stage`, and those that waited for it begin

A stage is ended with the builder (PDEATHSIG), and what it runs with it (`ends_with_us`). When one fails the others are killed. A
signal of the terminal reaches all of them; steps pass it on to their containers, and the stages report what came of it. A stage
that nothing else can be built beside is built by the builder itself.
"""

import contextlib
import json
import os
import selectors
import signal
import sys
from typing import IO, Any, Final, NamedTuple, NoReturn

from rootless import errors
from rootless.build.stage import Stage
from rootless.build.stage_builder import Session, StageBuilder
from rootless.errors import RlError, os_error_text
from rootless.linux.own_process import set_parent_death_signal

_SECONDS: Final = 10.0  # that stages may take to end after Ctrl-C
_BLOCK: Final = 1 << 16
_LEAST: Final = 2


class _Child(NamedTuple):
    """A stage that is being built by a process of its own: PID, and our ends of its pipes."""

    number: int
    pid: int
    output: int
    result: int


def build_stages(session: Session) -> None:
    """Build all stages of the plan, in `session.stages`. The caller is single-threaded. Raises the first stage's error."""
    running: dict[int, _Child] = {}
    most = max(_LEAST, os.cpu_count() or 1)
    with selectors.DefaultSelector() as selector:
        collector = _Collector(session, selector)
        try:
            while len(session.stages) < len(session.plan.order):
                ready = _ready(session, running)
                if len(ready) == 1 and not running:
                    _build_here(session, ready[0])
                    continue
                for number in ready[: most - len(running)]:
                    running[number] = collector.start(number)
                for number in collector.wait():
                    del running[number]
        except KeyboardInterrupt:
            _wait(running)
            raise
        finally:
            _kill(running)


def _ready(session: Session, running: dict[int, _Child]) -> list[int]:
    """Return the stages that can be built now."""
    done = session.stages
    waiting = [number for number in session.plan.order if number not in done and number not in running]
    return [number for number in waiting if session.plan.stages[number].uses <= done.keys()]


def _build_here(session: Session, number: int) -> None:
    session.stages[number] = StageBuilder(session, session.plan.stages[number]).build()


class _Collector:
    """Starts stages, prints what they write, and takes their results."""

    def __init__(self, session: Session, selector: selectors.BaseSelector) -> None:
        self._session = session
        self._selector = selector
        self._lines: dict[int, bytes] = {}  # by number: what came after the last newline
        self._results: dict[int, bytes] = {}

    def start(self, number: int) -> _Child:
        """Fork the process of a stage."""
        plan = self._session.plan.stages[number]
        if plan.base_stage is None and plan.base != "scratch":
            StageBuilder(self._session, plan)  # gets the image: two stages must not pull the same one
        output_reading, output = os.pipe2(os.O_CLOEXEC)
        result_reading, result = os.pipe2(os.O_CLOEXEC)
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            _be_stage(self._session, number, parent, output, result)
        os.close(output)
        os.close(result)
        child = _Child(number, pid, output_reading, result_reading)
        self._lines[number] = self._results[number] = b""
        self._selector.register(child.output, selectors.EVENT_READ, child)
        self._selector.register(child.result, selectors.EVENT_READ, child)
        return child

    def wait(self) -> list[int]:
        """Wait for something of the stages; return the numbers of those that are done. Raises the error of one that failed."""
        done = []
        for key, _events in self._selector.select():
            if key.fd not in self._selector.get_map():  # the end of a stage, in this round, has closed it
                continue
            child: _Child = key.data
            data = os.read(key.fd, _BLOCK)
            if key.fd == child.output:
                self._print(child.number, data)
            else:
                self._results[child.number] += data
            if not data:
                self._selector.unregister(key.fd)
                os.close(key.fd)
                if key.fd == child.result:
                    self._finish(child)
                    done.append(child.number)
        return done

    def _finish(self, child: _Child) -> None:
        """Take the result of a stage whose process has ended, or is about to."""
        os.waitpid(child.pid, 0)
        with contextlib.suppress(OSError, KeyError):  # the last lines; a monitor that the stage left behind may hold the pipe
            os.set_blocking(child.output, False)
            while data := os.read(child.output, _BLOCK):
                self._print(child.number, data)
        self._print(child.number, b"")
        with contextlib.suppress(KeyError):
            self._selector.unregister(child.output)
            os.close(child.output)
        self._session.stages[child.number] = _stage_of(self._session, child, self._results.pop(child.number))

    def _print(self, number: int, data: bytes) -> None:
        """Print whole lines after the name of their stage; without data what is left."""
        *lines, self._lines[number] = (self._lines[number] + data).split(b"\n")
        if not data and self._lines[number]:
            lines, self._lines[number] = [self._lines[number]], b""
        prefix = f"[{self._session.plan.stages[number].shown}] ".encode()
        out: IO[bytes] = sys.stdout.buffer
        out.write(b"".join(prefix + line + b"\n" for line in lines))
        out.flush()


def _be_stage(session: Session, number: int, parent: int, output: int, result: int) -> NoReturn:
    """Build a stage as a process of its own, and report."""
    try:
        set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        os.dup2(output, 1)
        os.dup2(output, 2)
        report = _report(session, number)
        sys.stdout.flush()
        sys.stderr.flush()
        with open(result, "wb") as file:
            file.write(json.dumps(report).encode())
    finally:
        os._exit(0)


def _report(session: Session, number: int) -> dict[str, Any]:
    try:
        return {"state": StageBuilder(session, session.plan.stages[number]).build().state()}
    except RlError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint}
    except OSError as error:
        return {"error": "RlError", "message": os_error_text(error), "hint": None}
    except KeyboardInterrupt:
        return {"error": "RlError", "message": "interrupted", "hint": None}


def _stage_of(session: Session, child: _Child, content: bytes) -> Stage:
    """Return the stage that a report tells of. Raises its error."""
    shown = session.plan.stages[child.number].shown
    if not content:
        raise RlError(f"the process that built the stage {shown} was killed", "build again")
    report = json.loads(content)
    if "state" not in report:
        kind = getattr(errors, report["error"], RlError)
        raise kind(report["message"], report["hint"])
    return Stage.of_state(session.engine, report["state"])


def _wait(running: dict[int, _Child]) -> None:
    """Give stages that got a signal, too, time to end their steps."""
    import time  # rarely

    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline and running:
        for number, child in list(running.items()):
            if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                os.waitpid(child.pid, 0)
                del running[number]
        time.sleep(0.02)


def _kill(running: dict[int, _Child]) -> None:
    """End the stages that are left."""
    for child in running.values():
        with contextlib.suppress(ProcessLookupError, ChildProcessError):  # the one whose error ended the build is gone
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
