"""`run` and `exec` in the foreground: our terminal to the container's, signals to its process, and its exit status.

One loop over poll(2): our standard input to the master, the master to our standard output, signals by a wake-up pipe, and the
process's pidfd. After its end the rest of the terminal's output is read to its end (EIO).
"""

import contextlib
import errno
import os
import select
import signal
from collections.abc import Iterator
from typing import Final

from rootless.runtime import console

_FORWARDED: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCONT)
_READ_SIZE: Final = 1 << 16


def watch(pid: int, master: int | None) -> int:
    """Serve a process, our child, until its end; returns its exit status, 128+N after a signal."""
    pidfd = os.pidfd_open(pid)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, pidfd)
        wake = stack.enter_context(_signals_to_pipe(terminal=master is not None))
        if master is not None:
            stack.enter_context(_raw(0))
            _copy_size(master)
        _serve(pidfd, master, wake)
        if master is not None:
            while _to_stdout(master):
                pass
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return status if status >= 0 else 128 - status


def _serve(pidfd: int, master: int | None, wake: int) -> None:
    poll = select.poll()
    for descriptor in (pidfd, wake, *(() if master is None else (0, master))):
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if master is not None and master in ready and not _to_stdout(master):
            poll.unregister(master)
        if master is not None and 0 in ready and not _from_stdin(master):
            poll.unregister(0)
        if wake in ready:
            for number in os.read(wake, 64):
                _take_signal(number, pidfd, master)
        if pidfd in ready:
            return


def _take_signal(number: int, pidfd: int, master: int | None) -> None:
    if number == signal.SIGWINCH:
        if master is not None:
            _copy_size(master)
        return
    with contextlib.suppress(ProcessLookupError):  # it has ended, which the loop sees next
        signal.pidfd_send_signal(pidfd, number)


def _to_stdout(master: int) -> bool:
    """Copy what the container wrote; False at the end."""
    try:
        content = os.read(master, _READ_SIZE)
    except OSError as error:
        if error.errno != errno.EIO:  # the last slave was closed
            raise
        return False
    while content:
        content = content[os.write(1, content) :]
    return True


def _from_stdin(master: int) -> bool:
    content = os.read(0, _READ_SIZE)
    if not content:
        return False
    with contextlib.suppress(OSError):  # EIO: nobody reads there any more
        os.write(master, content)
    return True


def _copy_size(master: int) -> None:
    with contextlib.suppress(OSError):  # ours is no terminal
        size = os.get_terminal_size(0)
        console.set_size(master, size.lines, size.columns)


@contextlib.contextmanager
def _raw(terminal: int) -> Iterator[None]:
    """Make our terminal pass every key on, until the end; what is no terminal stays as it is."""
    import termios
    import tty

    if not os.isatty(terminal):
        yield
        return
    before = termios.tcgetattr(terminal)
    tty.setraw(terminal)
    try:
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _signals_to_pipe(*, terminal: bool) -> Iterator[int]:
    """Turn signals into bytes, their numbers, on a pipe whose reading end is given; ignored ones stay ignored (nohup)."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(reading, True)
    numbers = (*_FORWARDED, *((signal.SIGWINCH,) if terminal else ()))
    previous = {number: handler for number in numbers if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in previous:
        signal.signal(number, lambda _number, _frame: None)
    try:
        yield reading
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup)
        os.close(reading)
        os.close(writing)
