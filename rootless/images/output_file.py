"""Where an archive is written: a new file that takes its name when it is whole, or a stream that cannot be taken back."""

import contextlib
import errno
import os
import secrets
import select
import stat
from collections.abc import Iterator


@contextlib.contextmanager
def replaced(path: str) -> Iterator[int]:
    """Yield a descriptor; what is written to it appears as `path` at the end, or not at all after an error. Raises `OSError`.

    A device or FIFO that is there already is written to directly. The file is private: an image may hold secrets.
    """
    if _is_special(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
        return
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    target = os.path.realpath(path)  # a symbolic link stays one
    temporary = os.path.join(os.path.dirname(target), f".{os.path.basename(target)[:200]}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        error.filename = path
        raise
    try:
        yield descriptor
        os.rename(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)


def is_rewritable(descriptor: int) -> bool:
    """Tell whether bytes written before can be written again: a regular file that is not open for appending."""
    import fcntl  # not needed for what is written from end to end

    appends = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND
    return stat.S_ISREG(os.fstat(descriptor).st_mode) and not appends


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of `data`, waiting where somebody has made the stream non-blocking. Raises `OSError`."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(descriptor, select.POLLOUT)
            poll.poll()


def _is_special(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
