"""The user's side of an attached container: standard streams, window size and signals, to and from its monitor.

Theory of operation. The socket speaks the protocol of `rootless.containers.frames`: our first frame is the attach request, and a
REPLY comes before anything else. One loop over poll(2) (epoll refuses regular files, which standard input may be) watches

* standard input -> STDIN frames, through the scanner for the detach keys; its end -> STDIN_END. Not read while more than `_FULL`
  bytes wait for the monitor;
* the socket -> our standard output and error. Not read while more than `_FULL` bytes wait for one of these;
* signals, whose handlers do nothing but wake the loop by a pipe (signal.set_wakeup_fd).

It ends with the EXIT frame once all output is written, with the detach keys, when nobody reads our output any more, when the
terminal is closed, or with the monitor. A signal that would have ended the process does so after the terminal is restored.

Signals. Without raw mode the terminal turns Ctrl-C into SIGINT, and whatever comes is forwarded to the container. In raw mode keys
are bytes; a signal comes from elsewhere and means this process. SIGHUP is never forwarded: closing a terminal leaves the container
running. Those that `lifecycle.signals_held` holds back come once our handlers are there, so that no moment of a start loses one;
what the terminal made of keys before it was raw goes to the container as the keys that they were.
"""

import contextlib
import errno
import json
import os
import select
import signal
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from cli import detach_keys as keys
from cli.output import Output
from rootless.containers import frames, lifecycle
from rootless.containers.frames import Decoder, FrameError, Sender
from rootless.containers.requests import raise_error_of

if TYPE_CHECKING:
    from cli.terminal import RawMode
    from rootless.linux.sockets import socket

_STDIN: Final = 0
_STDOUT: Final = 1
_STDERR: Final = 2

_READ_SIZE: Final = 1 << 18
_RECEIVE_SIZE: Final = 1 << 18
_FULL: Final = 1 << 19

_ENDED: Final = select.POLLHUP | select.POLLERR | select.POLLNVAL

# Synchronous faults are our own; the others mean our terminal, our children or nothing.
_NEVER_FORWARDED: Final = frozenset({
    signal.SIGKILL, signal.SIGSTOP,
    signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS,
    signal.SIGHUP, signal.SIGPIPE, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH,
})  # fmt: skip
_KEYS: Final[dict[int, bytes]] = {signal.SIGINT: b"\x03", signal.SIGQUIT: b"\x1c"}  # what a terminal makes these of
_ENDING: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)


class Outcome(NamedTuple):
    """How an attachment ended."""

    status: int | None = None  # the container's exit status; None: it did not end, or nobody knows
    detached: bool = False  # by the detach keys
    error: str = ""  # what the engine says of the container's end, or why the attachment broke off


class _EndedBySignal(Exception):
    """A signal whose default action is to end this process; raised so that everything is restored first."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def attach(
    sock: "socket",
    *,
    stdin: bool,
    tty: bool,
    detach_keys: str = keys.DEFAULT,
    forward_signal: Callable[[int], None] | None,
    begins: bool = False,
    shown: tuple[str, ...] = ("stdout", "stderr"),
) -> Outcome:
    """Connect our standard streams with the container behind `sock` until its end, or ours.

    `sock` is a stream socket on which nothing was sent yet. `stdin`: send our standard input. `tty`: the container has a
    terminal, so window sizes are sent, detach keys hold, and ours becomes raw if it is our input. `forward_signal` is called in
    the loop with the number of each signal for the container; None: signals mean this process. `begins`: the container waits, and
    starts when we are attached. `shown` names the streams of the container's that are written to ours; the rest is left out.
    Raises the `RlError` of a monitor that refuses (or fails to start the container), `InvalidInput` for malformed detach keys,
    `OSError` when our streams fail.
    """
    scanner = keys.DetachScanner(keys.parse(detach_keys) if tty else b"")
    raw = stdin and tty and os.isatty(_STDIN)
    try:
        with contextlib.ExitStack() as stack:
            forward = None if raw else forward_signal
            wake = stack.enter_context(_signals_to_pipe(_watched(raw, forward is not None, tty)))
            hidden = {kind for kind, name in ((frames.STDOUT, "stdout"), (frames.STDERR, "stderr")) if name not in shown}
            attachment = _Attachment(sock, wake, scanner, tty=tty, forward=forward, hidden=hidden)
            stack.callback(attachment.close)
            if raw:
                from cli.terminal import raw_mode  # only with a terminal: termios

                attachment.raw = stack.enter_context(raw_mode(_STDIN))
                attachment.early_keys = _keys_before_raw_mode(wake)
            return attachment.run({"stdin": stdin, "output": True, **({"begin": True} if begins else {})})
    except _EndedBySignal as ended:
        signal.signal(ended.number, signal.SIG_DFL)
        os.kill(os.getpid(), ended.number)
        return Outcome(error=f"ended by {signal.Signals(ended.number).name}")  # where the signal is blocked


def _watched(raw: bool, forwards: bool, tty: bool) -> set[int]:
    """Return the signals to catch."""
    watched: set[int] = {signal.SIGWINCH} if tty else set()
    if forwards:
        watched.update(signal.valid_signals() - _NEVER_FORWARDED)
    if raw:
        watched.update((*_ENDING, signal.SIGCONT))
    return watched


@contextlib.contextmanager
def _signals_to_pipe(numbers: set[int]) -> Iterator[int]:
    """Turn signals into bytes, their numbers, on a pipe whose reading end is given; ignored signals stay ignored (nohup)."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    previous = {number: handler for number in numbers if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    previous_wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        for number in previous:
            signal.signal(number, _wake_only)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, lifecycle.HELD_SIGNALS)
        yield reading
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(previous_wakeup)
        os.close(reading)
        os.close(writing)


def _keys_before_raw_mode(wake: int) -> bytes:
    """Return the keys that became signals while the container was being started: raw mode came too late for them."""
    try:
        numbers = os.read(wake, _READ_SIZE)
    except BlockingIOError:  # none
        return b""
    for number in numbers:
        if number in _ENDING and number not in _KEYS:
            raise _EndedBySignal(number)
    return b"".join(_KEYS.get(number, b"") for number in numbers)


def _wake_only(_number: int, _frame: object) -> None:
    """Do nothing: a signal with a Python handler writes to the wake-up descriptor."""


def _open_outputs() -> dict[int, Output]:
    """Return where each kind of frame goes. One pipe or terminal for both has one queue, so that the order is kept."""
    standard_output = Output(_STDOUT)
    shared = not standard_output.is_regular and os.path.sameopenfile(_STDOUT, _STDERR)
    return {frames.STDOUT: standard_output, frames.STDERR: standard_output if shared else Output(_STDERR)}


class _Attachment:
    """The loop and what it holds."""

    def __init__(
        self,
        sock: "socket",
        wake: int,
        scanner: keys.DetachScanner,
        *,
        tty: bool,
        forward: Callable[[int], None] | None,
        hidden: set[int],
    ) -> None:
        self.raw: RawMode | None = None
        self.early_keys = b""
        self._sock = sock
        self._wake = wake
        self._scanner = scanner
        self._tty = tty
        self._forward = forward
        self._hidden = hidden
        self._outputs = _open_outputs()
        self._decoder = Decoder()
        self._sender = Sender(sock)
        self._reads_stdin = False
        self._sends = True
        self._outcome: Outcome | None = None  # set: nothing more is read, and what is pending is written

    def close(self) -> None:
        """Close our own descriptors of the user's streams."""
        for output in set(self._outputs.values()):
            output.close()

    def run(self, wanted: Mapping[str, bool]) -> Outcome:
        """Ask for what is `wanted`, and work until the end."""
        self._reads_stdin = wanted["stdin"]
        self._send(frames.REQUEST, json.dumps({"op": "attach", **wanted}).encode())
        if self._tty:
            self._send_size()
        self._send_input(self.early_keys)
        try:
            while self._outcome is None or self._pending_output():
                self._work(self._poll())
        except BrokenPipeError as error:
            return Outcome(error=f"nobody reads our output: {error.strerror}")
        return self._outcome

    def _pending_output(self) -> int:
        return max(output.pending for output in self._outputs.values())

    def _poll(self) -> dict[int, int]:
        """Wait for what we can work on."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        for output in self._outputs.values():
            if output.pending:
                poll.register(output.descriptor, select.POLLOUT)
        if self._outcome is None:
            receives = self._pending_output() < _FULL
            mask = (select.POLLIN if receives else 0) | (select.POLLOUT if self._sender.pending else 0)
            if mask:  # a mask of 0 would still report a hang-up, again and again
                poll.register(self._sock.fileno(), mask)
            if self._reads_stdin and len(self._sender.pending) < _FULL:
                poll.register(_STDIN, select.POLLIN)
        return dict(poll.poll())

    def _work(self, ready: dict[int, int]) -> None:
        if self._wake in ready:
            self._take_signals()
        for output in self._outputs.values():
            if output.pending and output.descriptor in ready:
                output.flush()
        events = ready.get(self._sock.fileno(), 0)
        if events & (select.POLLOUT | _ENDED) and self._sender.pending:
            self._to_monitor(self._sender.flush)
        if events & (select.POLLIN | _ENDED):
            self._receive()
        if _STDIN in ready and self._outcome is None:
            self._read_stdin()

    def _receive(self) -> None:
        try:
            received = self._sock.recv(_RECEIVE_SIZE)
        except BlockingIOError:
            return
        except ConnectionResetError:
            received = b""
        if not received:
            self._outcome = Outcome(error="the container's monitor is gone")
            return
        try:
            for kind, payload in self._decoder.feed(received):
                self._take(kind, payload)
        except (FrameError, ValueError, KeyError, TypeError) as error:
            self._outcome = Outcome(error=f"the container's monitor sent something unknown: {error}")

    def _take(self, kind: int, payload: bytes) -> None:
        if kind in self._outputs:
            if kind not in self._hidden:
                self._outputs[kind].write(payload)
        elif kind == frames.EXIT:
            report = json.loads(payload)
            self._outcome = Outcome(int(report["status"]), error=report.get("error") or "")
        elif kind == frames.REPLY:
            raise_error_of(json.loads(payload))
        else:
            raise FrameError(f"a frame of kind {kind}")

    def _read_stdin(self) -> None:
        try:
            content = os.read(_STDIN, _READ_SIZE)
        except OSError as error:
            if error.errno == errno.EAGAIN:  # somebody else made it non-blocking
                return
            if error.errno != errno.EIO:  # EIO: the terminal was closed, or we are in its background for good
                raise
            content = b""
        if content:
            passed, detached = self._scanner.feed(content)
            self._send_input(passed)
            if detached:
                self._detach()
            return
        self._reads_stdin = False
        if self.raw is not None:
            self._outcome = Outcome(error="the terminal was closed")
            return
        self._send_input(self._scanner.flush())
        self._send(frames.STDIN_END)

    def _detach(self) -> None:
        """End by the detach keys; what was typed before them still goes, as far as the monitor takes it at once."""
        self._to_monitor(self._sender.flush)
        self._outcome = Outcome(detached=True)

    def _send_input(self, content: bytes) -> None:
        if content:
            self._send(frames.STDIN, content)

    def _send(self, kind: int, payload: bytes = b"") -> None:
        self._to_monitor(lambda: self._sender.send(kind, payload))

    def _to_monitor(self, send: Callable[[], None]) -> None:
        if not self._sends:
            return
        try:
            send()
        except (BrokenPipeError, ConnectionResetError):
            # The monitor takes no more, but what it sent before, EXIT above all, is still to be received.
            self._sends = self._reads_stdin = False
            self._sender.pending.clear()

    def _send_size(self) -> None:
        from cli.terminal import window_size  # only with a terminal

        size = window_size()
        if size is not None:
            self._send(frames.RESIZE, b'{"rows":%d,"columns":%d}' % size)

    def _take_signals(self) -> None:
        for number in os.read(self._wake, _READ_SIZE):
            if number == signal.SIGWINCH:
                if self._tty:
                    self._send_size()
            elif self.raw is not None and number == signal.SIGCONT:
                self.raw.enter_again()  # we were stopped, and the shell set its own modes meanwhile
                self._send_size()
            elif self._forward is not None:
                self._forward(number)
            else:
                raise _EndedBySignal(number)
