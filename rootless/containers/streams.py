"""A container's standard streams in its monitor: pipes or a terminal, to the log and to the attached clients, and back."""

import contextlib
import errno
import fcntl
import functools
import os
from typing import TYPE_CHECKING, Final, Protocol

from rootless.containers import frames
from rootless.containers.loop import READABLE, WRITABLE, Loop
from rootless.runtime import console

if TYPE_CHECKING:
    from rootless.containers.clients import Clients

_READ_SIZE: Final = 1 << 18
_PIPE_SIZE: Final = 1 << 18
"""Bytes: each wake-up on another core costs more than the copying of what the kernel's default of 64 KiB holds."""
_MAX_INPUT: Final = 1 << 20
_NAMES: Final = {frames.STDOUT: "stdout", frames.STDERR: "stderr"}
_TIOCGPTPEER: Final = 0x5441


class Log(Protocol):
    """Where a container's output is kept."""

    def write(self, stream: str, content: bytes) -> None:
        """Log what a stream wrote, however split."""

    def flush(self) -> None:
        """Log the unfinished lines as they are."""


class Streams:
    """The monitor's ends of the container's streams. Output waits while a client is congested; input while nobody reads it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._log: Log | None = None
        self._clients: Clients | None = None
        self._outputs: dict[int, int] = {}  # descriptor -> kind of frame
        self._input = -1
        self._terminal = -1
        self._slave = -1
        self._container_ends: list[int] = []
        self._pending = bytearray()
        self._input_ends = False

    def connect(self, clients: "Clients") -> None:
        """Say who is sent the output."""
        self._clients = clients

    def log_to(self, log: Log | None) -> None:
        """Say what keeps the output; None: nothing does."""
        self._log = log

    def open_pipes(self, with_input: bool) -> tuple[int, int, int]:
        """Open the pipes; returns the container's ends, -1 for an input that nobody wants."""
        input_end = -1
        if with_input:
            input_end, self._input = _large_pipe()
            self._container_ends.append(input_end)
            os.set_blocking(self._input, False)
        ends = [input_end]
        for kind in (frames.STDOUT, frames.STDERR):
            reading, writing = _large_pipe() if kind == frames.STDOUT else os.pipe2(os.O_CLOEXEC)
            os.set_blocking(reading, False)
            self._outputs[reading] = kind
            self._container_ends.append(writing)
            ends.append(writing)
        return ends[0], ends[1], ends[2]

    def close_container_ends(self) -> None:
        """Close our copies of the container's ends, once init has its own."""
        while self._container_ends:
            os.close(self._container_ends.pop())

    def take_terminal(self, master: int) -> None:
        """Use a terminal's master for all streams. The slave is kept open, too: so the last close inside is no hang-up."""
        os.set_blocking(master, False)
        self._slave = fcntl.ioctl(master, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        self._terminal = self._input = master
        self._outputs[master] = frames.STDOUT

    def begin(self) -> None:
        """Start reading what the container writes."""
        self._watch_all()

    def resume_output(self) -> None:
        """Read again: the congestion is over."""
        self._watch_all()

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's window size; without a terminal there is nothing to do."""
        if self._terminal >= 0:
            console.set_size(self._terminal, rows, columns)

    def write_input(self, content: bytes) -> bool:
        """Pass input on; False when so much is waiting that no more should come until `Clients.resume_input`."""
        if self._input < 0 or self._input_ends:
            return True  # nobody reads it any more: as with a closed pipe
        if not self._pending:  # the usual case, without a copy
            content = content[self._write_input(content) :]
        if content:
            self._pending += content
            self._flush_input()
        return len(self._pending) < _MAX_INPUT

    def end_input(self) -> None:
        """Close the container's standard input after what is waiting; a terminal has no end."""
        if self._terminal < 0 and self._input >= 0:
            self._input_ends = True
            self._flush_input()

    def drain(self) -> None:
        """Deliver what the container wrote before it ended, then end the log."""
        for descriptor in list(self._outputs):
            while self._pass_on(descriptor):
                pass
        if self._log is not None:
            self._log.flush()

    def close(self) -> None:
        """Close everything."""
        self.close_container_ends()
        for descriptor in list(self._outputs):
            self._close_output(descriptor)
        if self._terminal < 0:
            self._close_input()
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1

    def _watch_all(self) -> None:
        """Wait for what the container writes, unless a client is congested, and for a terminal that takes more input."""
        assert self._clients is not None
        readable = 0 if self._clients.is_congested else READABLE
        for descriptor in self._outputs:
            mask = readable | (WRITABLE if descriptor == self._terminal and self._pending else 0)
            if mask:
                self._loop.watch(descriptor, mask, functools.partial(self._on_events, descriptor))
            else:
                self._loop.forget(descriptor)  # not a mask of 0, which would still report a hang-up again and again

    def _on_events(self, descriptor: int, events: int) -> None:
        assert self._clients is not None
        if events & WRITABLE:
            self._flush_input()
        if events & ~WRITABLE and not self._clients.is_congested:
            self._pass_on(descriptor)
            self._pause_if_congested()

    def _pause_if_congested(self) -> None:
        if self._clients is not None and self._clients.is_congested:
            self._watch_all()

    def _pass_on(self, descriptor: int) -> bool:
        """Read once and deliver; False when there is nothing (more) to read."""
        try:
            content = os.read(descriptor, _READ_SIZE)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # the terminal's other side is gone
                raise
            content = b""
        if not content:
            self._close_output(descriptor)
            return False
        kind = self._outputs[descriptor]
        if self._log is not None:
            self._log.write(_NAMES[kind], content)
        assert self._clients is not None
        self._clients.send_output(kind, content)
        return True

    def _close_output(self, descriptor: int) -> None:
        self._loop.forget(descriptor)
        del self._outputs[descriptor]
        os.close(descriptor)
        if descriptor == self._terminal:
            self._terminal = self._input = -1

    def _write_input(self, content: bytes | bytearray) -> int:
        """Write what the container takes at once; returns how much that was: all, when it has closed its end."""
        try:
            return os.write(self._input, content)
        except BlockingIOError:
            return 0  # the rest goes when the container reads
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            if self._terminal < 0:
                self._close_input()
            return len(content)  # gone, as with a closed pipe

    def _flush_input(self) -> None:
        while self._pending and (written := self._write_input(self._pending)):
            del self._pending[:written]
        if self._terminal >= 0:
            self._watch_all()
        elif self._input >= 0:
            if not self._pending and self._input_ends:
                self._close_input()
            elif self._pending:
                self._loop.watch(self._input, WRITABLE, lambda _events: self._flush_input())
            else:
                self._loop.forget(self._input)
        if len(self._pending) < _MAX_INPUT and self._clients is not None:
            self._clients.resume_input()

    def _close_input(self) -> None:
        if self._input >= 0:
            self._loop.forget(self._input)
            os.close(self._input)
            self._input = -1


def _large_pipe() -> tuple[int, int]:
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with contextlib.suppress(PermissionError):  # the user has as much in pipes as it may (fs.pipe-user-pages-soft): 64 KiB do, too
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
    return reading, writing
