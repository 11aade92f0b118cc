"""Reading the log of events (`rootless.events`), and following it across rotations without losing or repeating a line.

The reader goes through files by descriptor. A file that was renamed gets no more lines, so once it is read to its end, the next
is the one that has the log's name now; or `log.1`, when the log was rotated more than once meanwhile. It waits for inotify events
of the folder, and looks each second: another node's writes to a shared data root make none.
"""

import json
import os
import select
import time
from collections.abc import Iterator
from typing import Any, Final

from rootless.events import LOG, PREVIOUS

Event = dict[str, Any]

_BLOCK: Final = 1 << 18
_PAUSE: Final = 1.0  # seconds
_Identity = tuple[int, int]


class EventReader:
    """A position in the log."""

    def __init__(self, folder: str, *, from_now: bool) -> None:
        """Begin with the oldest event that is kept, or with what comes `from_now` on."""
        self._folder = folder
        self._descriptor = -1
        self._rest = b""
        if from_now:
            self._move_to(LOG)
            if self._descriptor >= 0:
                os.lseek(self._descriptor, 0, os.SEEK_END)
        elif not self._move_to(PREVIOUS):
            self._move_to(LOG)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def present(self) -> Iterator[Event]:
        """Yield the events that are there now."""
        while True:
            is_current = self._is_current()  # asked before reading: no line can slip between
            if self._descriptor >= 0:
                yield from self._read()
            if is_current or not self._move_on():
                return

    def follow(self, until: int | None) -> Iterator[Event]:
        """Yield events as they happen, until the time `until` (nanoseconds since the epoch; None: for ever)."""
        from rootless.linux.inotify import IN_CREATE, IN_MODIFY, IN_MOVED_TO, Inotify  # to follow only: ctypes

        os.makedirs(self._folder, 0o700, exist_ok=True)
        inotify = Inotify()
        try:
            inotify.watch(self._folder, IN_MODIFY | IN_CREATE | IN_MOVED_TO)
            poll = select.poll()
            poll.register(inotify.fileno(), select.POLLIN)
            while True:
                yield from self.present()
                seconds = _PAUSE if until is None else min(_PAUSE, (until - time.time_ns()) / 1e9)
                if seconds <= 0:
                    return
                poll.poll(seconds * 1000)
                inotify.read()
        finally:
            inotify.close()

    def _read(self) -> Iterator[Event]:
        while block := os.read(self._descriptor, _BLOCK):
            *lines, self._rest = (self._rest + block).split(b"\n")
            for line in lines:
                event = _parse(line)
                if event is not None:
                    yield event

    def _identity(self) -> _Identity | None:
        return _identity_of(os.fstat(self._descriptor)) if self._descriptor >= 0 else None

    def _is_current(self) -> bool:
        return self._identity() == self._identity_at(LOG)

    def _identity_at(self, name: str) -> _Identity | None:
        try:
            return _identity_of(os.stat(f"{self._folder}/{name}"))
        except FileNotFoundError:
            return None

    def _move_on(self) -> bool:
        """Open the file after the one that is read to its end; False where there is none yet."""
        previous = self._identity_at(PREVIOUS)
        if self._descriptor >= 0 and previous is not None and previous != self._identity():
            return self._move_to(PREVIOUS)
        return self._move_to(LOG)

    def _move_to(self, name: str) -> bool:
        try:
            descriptor = os.open(f"{self._folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        self.close()
        self._descriptor, self._rest = descriptor, b""
        return True


def _identity_of(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _parse(line: bytes) -> Event | None:
    """Return the event of a line; None for what a crash left unreadable."""
    try:
        event: Event = json.loads(line)
        if isinstance(event["Actor"]["Attributes"], dict) and isinstance(event["timeNano"], int):
            return event
    except (ValueError, KeyError, TypeError):
        pass
    return None
