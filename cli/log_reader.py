"""Reading a container's log (Docker's json-file format: {"log", "stream", "time"} a line), and following it without polling.

Following waits for inotify events of the file and for the end of the monitor (its pidfd), which ends after it wrote the last line.
The file is read through one descriptor, so that removing the container meanwhile takes nothing away.
"""

import json
import os
import select
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from cli.durations import parse_rfc3339

_BLOCK: Final = 1 << 18


class Entry(NamedTuple):
    """One line, or a piece of a long one: `log` as the container wrote it, `stream` stdout or stderr, `time` RFC 3339."""

    log: str
    stream: str
    time: str


class Selection(NamedTuple):
    """What is shown: the last `tail` entries (None: all), from `since` to `until` in nanoseconds since the epoch."""

    tail: int | None = None
    since: int | None = None
    until: int | None = None


def entries(lines: Iterable[bytes], selection: Selection) -> Iterator[Entry]:
    """Yield the entries of lines that are in the selected span of time; what a crash left unreadable is skipped."""
    for line in lines:
        try:
            document = json.loads(line)
            entry = Entry(str(document["log"]), str(document["stream"]), str(document["time"]))
            when = 0 if selection.since is None and selection.until is None else parse_rfc3339(entry.time)
        except (ValueError, KeyError, TypeError):
            continue
        if selection.since is not None and when < selection.since:
            continue
        if selection.until is not None and when > selection.until:
            return
        yield entry


class LogReader:
    """An open log."""

    def __init__(self, path: str) -> None:
        """Raise `FileNotFoundError` for a container that was never started."""
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._rest = b""

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def seek_tail(self, count: int) -> None:
        """Move to the beginning of the last `count` lines, reading backwards from the end."""
        position = os.lseek(self._descriptor, 0, os.SEEK_END)
        if count == 0:
            return
        wanted = count + 1  # the line feed before the first one wanted
        while position > 0:
            size = min(_BLOCK, position)
            position -= size
            block = os.pread(self._descriptor, size, position)
            found = block.count(b"\n")
            if found < wanted:
                wanted -= found
                continue
            end = len(block)
            for _step in range(wanted):
                end = block.rindex(b"\n", 0, end)
            os.lseek(self._descriptor, position + end + 1, os.SEEK_SET)
            return
        os.lseek(self._descriptor, 0, os.SEEK_SET)

    def blocks(self) -> Iterator[list[bytes]]:
        """Yield the whole lines that are there now, a block at a time; an unfinished one waits for the next call."""
        while block := os.read(self._descriptor, _BLOCK):
            *lines, self._rest = (self._rest + block).split(b"\n")
            if lines:
                yield lines

    def follow(self, path: str, monitor_pidfd: int) -> Iterator[list[bytes]]:
        """Yield as `blocks` whenever lines come, until the monitor has ended."""
        from rootless.linux.inotify import IN_MODIFY, Inotify  # to follow only: ctypes

        inotify = Inotify()
        try:
            inotify.watch(path, IN_MODIFY)
            poll = select.poll()
            poll.register(inotify.fileno(), select.POLLIN)
            poll.register(monitor_pidfd, select.POLLIN)
            ended = False
            while not ended:
                yield from self.blocks()
                ended = monitor_pidfd in {descriptor for descriptor, _events in poll.poll()}
                inotify.read()
            yield from self.blocks()
        except FileNotFoundError:  # the container has ended and was removed: what we have open is all there is
            yield from self.blocks()
        finally:
            inotify.close()
