"""Reading a container's log (json-file or CRI entries, see `rootless.containers.log_file`), and following it without polling.

Following waits for inotify events of the file and for the end of the monitor (its pidfd), which ends after it wrote the last line.
Files are read through descriptors, so that neither a rotation nor removing the container takes anything away. One that has lost its
name is read to its end; the next is the one that was made after it, which a file's identity tells, or, of one that was compressed,
the time of its last change.
"""

import os
import select
from collections.abc import Iterator
from typing import Final

_BLOCK: Final = 1 << 18
_PAUSE: Final = 0.05  # seconds, while no file has the log's name


class LogReader:
    """An open log with all its files, the oldest first."""

    def __init__(self, path: str) -> None:
        """Raise `FileNotFoundError` for a container that was never started."""
        self._path = path
        self._rest = b""
        self._turn = 0  # which newest file we are at: descriptors and inodes are used again
        self.lost = False
        """Whether the log was rotated faster than it was read, so that files were gone before their turn."""
        newest = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        # From the newest to the oldest: what a rotation moves meanwhile is met twice, and not missed.
        self._files = [newest]
        while (older := self._open_rotated(len(self._files))) is not None:
            if any(os.path.sameopenfile(older, one) for one in self._files):
                os.close(older)
                break
            self._files.insert(0, older)

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.pop())

    def seek_tail(self, count: int) -> None:
        """Move to the beginning of the last `count` lines, reading backwards from the end."""
        wanted = count
        for index in range(len(self._files) - 1, -1, -1):
            wanted -= _seek_back(self._files[index], wanted)
            if wanted <= 0:
                for _file in range(index):
                    os.close(self._files.pop(0))
                return

    def blocks(self) -> Iterator[list[bytes]]:
        """Yield the whole lines that are there now, a block at a time; an unfinished one waits for the next call."""
        while True:
            is_newest = len(self._files) == 1 and self._is_current()  # asked before reading: no line can slip between
            yield from self._read(self._files[0])
            if len(self._files) > 1:
                os.close(self._files.pop(0))
            elif is_newest or not self._find_next():
                return
            self._rest = b""

    def follow(self, path: str, monitor_pidfd: int) -> Iterator[list[bytes]]:
        """Yield as `blocks` whenever lines come, until the monitor has ended."""
        from rootless.linux.inotify import IN_ATTRIB, IN_MODIFY, IN_MOVE_SELF, Inotify  # to follow only: ctypes

        inotify = Inotify()
        try:
            poll = select.poll()
            poll.register(inotify.fileno(), select.POLLIN)
            poll.register(monitor_pidfd, select.POLLIN)
            ended, watched = False, -1
            while not ended:
                if watched != self._turn and self._is_current():
                    inotify.watch(path, IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF)
                    watched = self._turn
                yield from self.blocks()
                pause = _PAUSE * 1000 if watched != self._turn else None
                ended = monitor_pidfd in {descriptor for descriptor, _events in poll.poll(pause)}
                inotify.read()
            yield from self.blocks()
        except FileNotFoundError:  # the container has ended and was removed: what we have open is all there is
            yield from self.blocks()
        finally:
            inotify.close()

    def _read(self, descriptor: int) -> Iterator[list[bytes]]:
        while block := os.read(descriptor, _BLOCK):
            *lines, self._rest = (self._rest + block).split(b"\n")
            if lines:
                yield lines

    def _is_current(self) -> bool:
        """Tell whether the last of our files has the log's name; also when none has: it was removed."""
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._files[-1]))
        except FileNotFoundError:
            return True

    def _find_next(self) -> bool:
        """Go on from a file that has lost its name to those that came after it; False when there are none."""
        newer = LogReader(self._path)
        own = os.fstat(self._files[0])
        statuses = [os.fstat(descriptor) for descriptor in newer._files]
        same = [index for index, status in enumerate(statuses) if os.path.samestat(status, own)] or [
            index
            for index, status in enumerate(statuses)
            if status.st_nlink == 0 and status.st_mtime_ns == own.st_mtime_ns  # was compressed: without a name of its own
        ]
        for _file in range(same[-1] + 1 if same else 0):
            os.close(newer._files.pop(0))
        self.lost = self.lost or (not same and len(newer._files) > 1)
        os.close(self._files.pop())
        self._files = newer._files
        self._turn += 1
        return bool(self._files)

    def _open_rotated(self, number: int) -> int | None:
        """Open the file that was rotated so many times; None where there is none."""
        for ending in ("", ".gz"):
            try:
                descriptor = os.open(f"{self._path}.{number}{ending}", os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            return descriptor if not ending else _decompressed(descriptor)
        return None


def _seek_back(descriptor: int, count: int) -> int:
    """Move to the beginning of a file's last `count` lines; returns how many there are."""
    position = os.lseek(descriptor, 0, os.SEEK_END)
    if count == 0:
        return 0
    wanted = count + 1  # the line feed before the first one wanted
    while position > 0:
        size = min(_BLOCK, position)
        position -= size
        block = os.pread(descriptor, size, position)
        found = block.count(b"\n")
        if found < wanted:
            wanted -= found
            continue
        end = len(block)
        for _step in range(wanted):
            end = block.rindex(b"\n", 0, end)
        os.lseek(descriptor, position + end + 1, os.SEEK_SET)
        return count
    os.lseek(descriptor, 0, os.SEEK_SET)
    return count + 1 - wanted


def _decompressed(descriptor: int) -> int:
    """Return a descriptor of what a gzip file holds, with its times; the first is closed."""
    import gzip  # only for logs that are compressed
    import shutil
    import tempfile

    with open(descriptor, "rb") as packed, gzip.GzipFile(fileobj=packed) as source, tempfile.TemporaryFile() as target:
        shutil.copyfileobj(source, target, _BLOCK)
        target.flush()
        target.seek(0)
        status = os.fstat(packed.fileno())
        os.utime(target.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
        return os.dup(target.fileno())
