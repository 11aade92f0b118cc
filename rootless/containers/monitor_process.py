"""The process of a monitor: forked from the command that starts a container, cut off from its session, streams and signals."""

import fcntl
import os
import signal
from typing import Final, NoReturn

from rootless.containers.documents import PASSTHROUGH, Document, log_driver_of
from rootless.containers.engine_log import log_failure
from rootless.containers.lock import ContainerLock
from rootless.containers.monitor import Monitor
from rootless.linux.own_process import become_subreaper, close_all_except, set_command_line, set_name
from rootless.linux.sockets import socket
from rootless.locations import Locations

_ENGINE_LOG: Final = "engine.log"


def fork_monitor(
    locations: Locations,
    document: Document,
    lock: ContainerLock,
    starter: socket,
    console_size: tuple[int, int] | None,
    *,
    holds: bool = False,
) -> int:
    """Fork the monitor that starts a container and watches it; returns its PID.

    The monitor takes the lock over and serves the other end of `starter`; the caller, single-threaded, closes its own
    copies of both. With `holds` the container's init waits for a later start.
    """
    pid = os.fork()
    if pid == 0:
        os.setsid()
        be_monitor(locations, document, lock, starter, console_size, holds=holds)
    return pid


def be_monitor(
    locations: Locations,
    document: Document,
    lock: ContainerLock,
    starter: socket,
    console_size: tuple[int, int] | None,
    *,
    holds: bool = False,
) -> NoReturn:
    """Go on as the monitor, in a session of our own."""
    status = 1
    try:
        set_name(b"rl-monitor")
        set_command_line(f"rl monitor {document['Name'].lstrip('/')} {document['Id'][:12]}".encode())
        lock.take_over()
        become_subreaper()
        _settle_signals()
        os.umask(0o022)  # the container's name files and mount points are for all of its users
        close_all_except({0, 1, 2, starter.fileno(), *({lock.descriptor} if lock.descriptor >= 0 else ())})
        passed = _keep_streams(document) if log_driver_of(document) == PASSTHROUGH else None
        errors = _redirect_streams(f"{locations.containers}/{document['Id']}/{_ENGINE_LOG}")
        Monitor(locations, document, lock, errors, holds=holds, passed=passed).run(starter, console_size)
        status = 0
    except Exception as error:  # our last chance to tell
        log_failure(error)
    finally:
        os._exit(status)


def _settle_signals() -> None:
    """Ignore what a terminal or a log-out sends, and let the rest come that the starter has held back (see `lifecycle.held`)."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _keep_streams(document: Document) -> tuple[int, int, int]:
    """Return copies of the starter's standard streams, which the container gets; no input (-1) unless it wants some."""
    first = 3  # beside the standard streams
    given = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, first) if document["Config"]["OpenStdin"] else -1
    return given, fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, first), fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, first)


def _redirect_streams(path: str) -> int:
    """Turn standard input and output to /dev/null and errors to a file in the container's folder; returns the file."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    errors = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    for stream, descriptor in enumerate((null, null, errors)):
        os.dup2(descriptor, stream)
    os.close(null)
    return errors
