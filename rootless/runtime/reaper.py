"""`--init`: our own process stays as the container's init, and the command runs below it, as PID 2.

Theory of operation. All signals are blocked before the fork, so none is lost, and taken one by one with sigwait(3):

* SIGCHLD: everything that has ended is reaped, orphans of the container, too. When it was the command, init ends with its exit
  status (128+N after signal N), and the kernel ends whatever is left in the PID namespace;
* any other is sent on to the command. As PID 1 init gets also those that it would not obey: the kernel drops a signal to an init
  that has no handler for it, but not while it is blocked (signal(7), "pid_namespaces(7)").

The command leads a process group of its own, the foreground one of the terminal if there is one: Ctrl-C comes to it straight from
the kernel, and not once more by init. Where the PID namespace is another container's or the node's, init is no PID 1 there: it
becomes a subreaper, and its starter ends what it leaves behind.
"""

import contextlib
import os
import signal
from collections.abc import Callable

from rootless.linux.own_process import become_subreaper, close_all_except, set_parent_death_signal
from rootless.linux.sockets import socket

_GONE = 137  # as if the kernel had killed it with its starter


def fork_command(sync: socket, is_wanted: Callable[[], bool]) -> None:
    """Return in a child that shall execute the command; the caller stays here as init, and ends with the command.

    `is_wanted` is asked after the parent-death signal is set: does the starter, at the other end of `sync`, still live?
    """
    everything = set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
    signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    if os.getpid() != 1:
        become_subreaper()
    command = os.fork()
    if command == 0:
        os.setpgid(0, 0)
        _take_foreground()
        return
    set_parent_death_signal(signal.SIGKILL)
    if not is_wanted():
        os._exit(_GONE)
    sync.detach()
    close_all_except(set())  # also standard streams: their readers shall see the end of the command's
    while True:
        received = signal.sigwait(everything)
        if received == signal.SIGCHLD:
            _reap(command)
        else:
            # It ended between the signal and here, and SIGCHLD follows; or it runs a set-user-ID program, which we may not signal.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(command, received)


def _take_foreground() -> None:
    """Make the caller's process group the foreground one of the terminal, if standard input is one."""
    if os.isatty(0):
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpgrp())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)


def _reap(command: int) -> None:
    """Reap everything that has ended; ends this process when the command is among it."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == command:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
