"""Files that stand for locks where a file system refuses flock(2): Lustre mounted without the option `flock`, some NFS.

A stand-in is made exclusively, and says who holds it: node, PID and start time of the process. A killed holder's is taken over on
the same node only.
"""

import contextlib
import os

from rootless.linux.process import ProcessId, identify, is_alive


def take(path: str) -> bool:
    """Make a stand-in of this process; False when somebody else has it."""
    for _attempt in range(2):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            if os.path.exists(path) and not (is_stale(path) and _clear_away(path)):
                return False
            continue
        os.write(descriptor, holder(identify(os.getpid())))
        os.close(descriptor)
        return True
    return False


def _clear_away(path: str) -> bool:
    """Delete a stale stand-in; False where it was somebody else's by now, who gets it back."""
    aside = f"{path}.{os.getpid()}"
    try:
        os.rename(path, aside)
    except FileNotFoundError:  # let go of, or cleared away by another: nothing of what is there now is stale
        return True
    try:
        if is_stale(aside):
            return True
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
        return False
    finally:
        os.unlink(aside)


def drop(path: str) -> None:
    """Delete a stand-in; one that is gone with what it was for is no error."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def holder(process: ProcessId) -> bytes:
    """Return what a stand-in says of its holder, a process of this node."""
    return f"{os.uname().nodename} {process.pid} {process.start_time}".encode()


def is_stale(path: str) -> bool:
    """Tell whether a stand-in names a process of this node that is gone; another node's is never stale."""
    try:
        with open(path, encoding="utf-8") as file:
            fields = file.read().split()
    except FileNotFoundError:
        return True
    if len(fields) != 3 or fields[0] != os.uname().nodename:
        return False
    return not is_alive(ProcessId(int(fields[1]), int(fields[2])))
