"""One probe of a health check: a command in the container, run by a process of its own that reports how it ended.

    the caller                         the prober
    fork ----------------------------> makes the command's process in the container (`runtime.join`), which leads a group of its own
                                       reads its output until it ends, or the time is over: then the group is killed
         <- exit code, output -------  (a pipe; JSON)

So whoever waits for it, a monitor above all, watches one descriptor. Closing that early ends the prober with its command.
"""

import contextlib
import json
import os
import select
import signal
import time
from typing import Final, NamedTuple, NoReturn

from rootless.containers import clock, execute
from rootless.containers.documents import Document
from rootless.containers.execute import ExecOptions
from rootless.containers.health import MAX_OUTPUT, Check, Outcome
from rootless.errors import RlError, os_error_text
from rootless.linux.own_process import become_subreaper, close_all_except, set_command_line, set_name, set_parent_death_signal
from rootless.locations import Locations
from rootless.runtime import join
from rootless.runtime.join import JoinPlan

_READ_SIZE: Final = 1 << 16
_FAILED: Final = -1


class Probe(NamedTuple):
    """A prober, a child of the caller, and the pipe on which it reports; pass it to `take` when that is readable."""

    pid: int
    descriptor: int


def begin(locations: Locations, document: Document, check: Check) -> Probe:
    """Fork the prober. Raises `InUse` when the container does not run."""
    plan = execute.plan_of(locations, document, ExecOptions(check.command))
    reading, writing = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _be_prober(plan, check.timeout, writing)
    os.close(writing)
    os.close(plan.entry_pidfd)
    return Probe(pid, reading)


def take(probe: Probe) -> Outcome:
    """Return what a prober reports, waiting for that, and let go of it."""
    report = b""
    while piece := os.read(probe.descriptor, _READ_SIZE):
        report += piece
    os.close(probe.descriptor)
    with contextlib.suppress(ChildProcessError):  # reaped with other orphans
        os.waitpid(probe.pid, 0)
    if not report:
        return Outcome(clock.now(), clock.now(), _FAILED, "the probe was killed")
    return Outcome(*json.loads(report))


def abandon(probe: Probe) -> None:
    """End a prober and what it runs."""
    os.close(probe.descriptor)
    with contextlib.suppress(ProcessLookupError):
        os.kill(probe.pid, signal.SIGTERM)  # it is reaped with other orphans


def _be_prober(plan: JoinPlan, seconds: float, writing: int) -> NoReturn:
    try:
        set_parent_death_signal(signal.SIGTERM)
        os.setsid()
        set_name(b"rl-health")
        set_command_line(b"rl health check")
        become_subreaper()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, _end)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for stream in range(3):
            os.dup2(null, stream)
        close_all_except({0, 1, 2, writing, plan.entry_pidfd})
        start = clock.now()
        code, output = _run(plan, seconds)
        text = output[:MAX_OUTPUT].decode("utf-8", "replace")
        report = json.dumps([start, clock.now(), code, text if len(output) <= MAX_OUTPUT else f"{text}..."])
        os.write(writing, report.encode())
    finally:
        os._exit(0)


class _Ended(BaseException):
    """Nobody waits for the report any more."""


def _end(_number: int, _frame: object) -> None:
    raise _Ended


def _run(plan: JoinPlan, seconds: float) -> tuple[int, bytes]:
    """Run the command and return its exit code and the beginning of its output."""
    deadline = time.monotonic() + seconds
    reading, command_end = os.pipe2(os.O_CLOEXEC)
    try:
        joined = join.create(plan._replace(stdio=(0, command_end, command_end)))
    except RlError as error:
        return _FAILED, error.message.encode()
    except OSError as error:
        return _FAILED, os_error_text(error).encode()
    os.close(command_end)
    try:
        output, in_time = _read(joined.pid, reading, deadline)
    except _Ended:
        _kill_group(joined.pid)
        raise
    if not in_time:
        _kill_group(joined.pid)
        return _FAILED, b"Health check exceeded timeout (%gs): " % seconds + output
    code = os.waitstatus_to_exitcode(os.waitpid(joined.pid, 0)[1])
    return (code if code >= 0 else 128 - code), output


def _read(pid: int, reading: int, deadline: float) -> tuple[bytes, bool]:
    """Read what is kept of the output until the command ends; something that it left running may hold the pipe open.

    Returns whether it ended in time, too.
    """
    os.set_blocking(reading, False)
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(reading, select.POLLIN)
    output = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        ready = {descriptor for descriptor, _events in poll.poll(left * 1000)}
        if reading in ready and not _read_all(reading, output):
            poll.unregister(reading)
        if pidfd in ready:
            _read_all(reading, output)
            return bytes(output), True
    return bytes(output), False


def _read_all(reading: int, output: bytearray) -> bool:
    """Add what is there, as far as it is kept; False at the end."""
    try:
        while piece := os.read(reading, _READ_SIZE):
            output += piece[: max(0, MAX_OUTPUT + 1 - len(output))]
    except BlockingIOError:
        return True
    return False


def _kill_group(pid: int) -> None:
    """Kill the command with all that it started, but for what has left its process group; the PID is still ours to reap."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
