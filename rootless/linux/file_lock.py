"""Locks of files that exist for nothing else (flock(2)): one holder at a time, until it lets go or ends.

Where the file system refuses locks, a file beside the locked one stands for the lock (see `stand_in`).
"""

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from typing import Final

from rootless.linux import stand_in

REFUSED: Final = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
"""What a file system answers that has no locks."""

HOLDER: Final = ".holder"
"""What the name of a stand-in ends with."""

_PATIENCE: Final = 60.0  # seconds to wait for a stand-in, whose holder on another node may be dead
_PAUSE: Final = 0.02


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock of a file, which is made where there is none; waits for whoever has it. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            with _stand_in(path + HOLDER):
                yield
        else:
            yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _stand_in(path: str) -> Iterator[None]:
    deadline = time.monotonic() + _PATIENCE
    while not stand_in.take(path):
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, "a process that may be gone has the lock; remove the file if it is", path)
        time.sleep(_PAUSE)
    try:
        yield
    finally:
        stand_in.drop(path)
