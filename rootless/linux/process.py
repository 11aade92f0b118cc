"""Processes: pidfd_open(2), /proc/PID/stat, and how to name a process so that a reused PID is noticed.

Without ctypes, whose 2.5 ms `rl ps` and `rl run` need not pay; `own_process` has what needs it.
"""

import os
import select
import signal
from typing import Final, NamedTuple

# Index in /proc/PID/stat after the command name's closing parenthesis (proc(5): fields 3 and 22).
_STATE_FIELD: Final = 0
_START_TIME_FIELD: Final = 19


class ProcessId(NamedTuple):
    """A process for as long as the node is up: its PID and its start time in clock ticks since boot."""

    pid: int
    start_time: int


def identify(pid: int) -> ProcessId:
    """Return the identity of a live process. Raises `ProcessLookupError` when there is none, or only a zombie."""
    fields = stat_fields(pid)
    if fields is None:
        raise ProcessLookupError(f"no process {pid}")
    return ProcessId(pid, int(fields[_START_TIME_FIELD]))


def pid_of(pidfd: int) -> int:
    """Return the PID of a pidfd's process, as our PID namespace counts. Raises `ProcessLookupError` when it has ended."""
    with open(f"/proc/self/fdinfo/{pidfd}", "rb", buffering=0) as file:
        fields = dict(line.split(b":", 1) for line in file.read(4096).splitlines())
    pid = int(fields[b"Pid"])
    if pid <= 0:
        raise ProcessLookupError("the process has ended")
    return pid


def is_alive(process: ProcessId) -> bool:
    """Tell whether this very process lives; a zombie does not."""
    fields = stat_fields(process.pid)
    return fields is not None and int(fields[_START_TIME_FIELD]) == process.start_time


def open_pidfd(process: ProcessId) -> int | None:
    """Return a pidfd of this very process, or None when it has ended; the caller closes it."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    if is_alive(process):  # checked after opening: from here on the descriptor cannot change its process
        return descriptor
    os.close(descriptor)
    return None


def send_signal(process: ProcessId, number: int) -> bool:
    """Send a signal to this very process; False when it has ended."""
    descriptor = open_pidfd(process)
    if descriptor is None:
        return False
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def wait_for_end(process: ProcessId, seconds: float | None) -> bool:
    """Wait until this very process has ended (a zombie has); False when the time is over first. None waits for ever."""
    descriptor = open_pidfd(process)
    if descriptor is None:
        return True
    try:
        return wait_readable(descriptor, seconds)
    finally:
        os.close(descriptor)


def wait_readable(descriptor: int, seconds: float | None) -> bool:
    """Wait until a descriptor has something to read (a pidfd: until its process has ended); False when the time is over first."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if seconds is None else int(seconds * 1000)))


def stat_fields(pid: int) -> list[bytes] | None:
    """Return the fields of /proc/PID/stat after the command's name, or None for no such process or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as stat_file:
            content = stat_file.read(4096)
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = content[content.rindex(b")") + 2 :].split()
    return None if fields[_STATE_FIELD] in (b"Z", b"X") else fields


def boot_id() -> str:
    """Return the kernel's ID of this boot."""
    with open("/proc/sys/kernel/random/boot_id", "rb", buffering=0) as boot_id_file:
        return boot_id_file.read().decode().strip()
