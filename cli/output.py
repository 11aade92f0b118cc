"""Writing to the user's standard output and error without ever blocking on them, and without changing them for other programs.

O_NONBLOCK belongs to an open file description that the shell and other programs share with us, so it is never set on it. A pipe or
terminal is opened a second time through /proc instead. What cannot be (a socket, another user's terminal) is written in pieces of
PIPE_BUF bytes when it polls writable, which a pipe takes without blocking (pipe(7)). Regular files never block.
"""

import os
import select
import stat
from typing import Final

_PIECE: Final = select.PIPE_BUF


class Output:
    """One of our standard streams."""

    def __init__(self, descriptor: int) -> None:
        self._pending = bytearray()
        self.is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        self._own = _reopen(descriptor)
        self.descriptor = descriptor if self._own is None else self._own

    @property
    def pending(self) -> int:
        """Bytes that are not written yet."""
        return len(self._pending)

    def write(self, content: bytes) -> None:
        """Write what can be written now and keep the rest. Raises `BrokenPipeError` and other `OSError`."""
        if self._pending or (self._own is None and not self.is_regular):
            self._pending += content
            return
        written = self._write(content)
        if written < len(content):
            self._pending += memoryview(content)[written:]

    def flush(self) -> None:
        """Write more; the descriptor polls writable. Errors as `write`."""
        del self._pending[: self._write(self._pending)]

    def close(self) -> None:
        """Close what was opened here; the user's stream stays open."""
        if self._own is not None:
            os.close(self._own)
            self._own = None

    def _write(self, content: bytes | bytearray) -> int:
        limit = len(content) if self._own is not None or self.is_regular else _PIECE
        with memoryview(content) as view:
            try:
                return os.write(self.descriptor, view[:limit])
            except BlockingIOError:
                return 0


def _reopen(descriptor: int) -> int | None:
    """Return a non-blocking descriptor of the same pipe or terminal, or None where that is impossible."""
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(mode) or (stat.S_ISCHR(mode) and os.isatty(descriptor))):
        return None
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:  # another user's, its reader is gone, or no /proc: the caller can do without
        return None
