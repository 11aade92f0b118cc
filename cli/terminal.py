"""The user's terminal: raw mode, which is always taken back, and the window size. Loaded only where there is a terminal."""

import contextlib
import errno
import os
import termios
from collections.abc import Iterator
from typing import Final

_INPUT, _OUTPUT, _CONTROL, _LOCAL, _CHARACTERS = 0, 1, 2, 3, 6  # indices in what tcgetattr(3) returns

_GONE: Final = (errno.EIO, errno.ENOTTY, errno.ENXIO, errno.ENODEV)


class RawMode:
    """The terminal at a descriptor in raw mode (termios(3), cfmakeraw)."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._saved = termios.tcgetattr(descriptor)

    def enter(self) -> None:
        """Pass every key on at once, as it is. What was typed ahead is kept (TCSANOW)."""
        raw = termios.tcgetattr(self._descriptor)
        raw[_INPUT] &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        raw[_OUTPUT] &= ~termios.OPOST
        raw[_LOCAL] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        raw[_CONTROL] = raw[_CONTROL] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        raw[_CHARACTERS][termios.VMIN] = 1
        raw[_CHARACTERS][termios.VTIME] = 0
        termios.tcsetattr(self._descriptor, termios.TCSANOW, raw)

    def restore(self) -> None:
        """Give the terminal back as it was found; one that was closed needs nothing."""
        with _unless_gone():
            termios.tcsetattr(self._descriptor, termios.TCSANOW, self._saved)

    def enter_again(self) -> None:
        """Be in raw mode again after a stop; a terminal that was closed sends SIGCONT, too."""
        with _unless_gone():
            self.enter()


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except termios.error as error:
        if error.args[0] not in _GONE:
            raise


@contextlib.contextmanager
def raw_mode(descriptor: int) -> Iterator[RawMode]:
    """Hold the terminal in raw mode for the length of a `with` block; a signal that ends the process must leave the block."""
    mode = RawMode(descriptor)
    try:
        mode.enter()
        yield mode
    finally:
        mode.restore()


def window_size(descriptors: tuple[int, ...] = (1, 0, 2)) -> tuple[int, int] | None:
    """Return (rows, columns) of the first descriptor that is a terminal and knows its size, else None."""
    for descriptor in descriptors:
        try:
            columns, rows = os.get_terminal_size(descriptor)
        except OSError:  # not a terminal, or closed
            continue
        if rows and columns:
            return rows, columns
    return None
