"""Reading a container's log from systemd's journal (see `rootless.containers.log_journal`), by journalctl in its export format.

The journal takes entries in its own time, so a reader that comes right after a container's end waits until the last one is there:
the container's folder says which that is. Following ends when the monitor has ended and that entry was read, or after `_PATIENCE`.
"""

import os
import select
import time
from collections.abc import Iterator
from typing import Final

from cli.log_entries import Entry, Selection
from rootless.containers.clock import rfc3339
from rootless.containers.log_journal import END_NOTE
from rootless.errors import NodeLacks, RlError

_PATIENCE: Final = 2.0  # seconds
_PAUSE: Final = 0.02  # seconds
_BLOCK: Final = 1 << 16
_OUTPUT: Final = "--output-fields=MESSAGE,PRIORITY,CONTAINER_PARTIAL_MESSAGE,CONTAINER_LOG_EPOCH,CONTAINER_LOG_ORDINAL"
_STREAMS: Final = {b"3": "stderr"}


class JournalReader:
    """The entries of one container, the oldest first."""

    def __init__(self, folder: str, container_id: str, selection: Selection, details: str) -> None:
        """`folder` is the container's in the data root; `details` are those of all its entries."""
        self._folder = folder
        self._container_id = container_id
        self._selection = selection
        self._details = details
        self._last = b""

    def read(self) -> Iterator[list[Entry]]:
        """Yield the entries that are there, after the container's last where it has just ended. Raises `NodeLacks`, `RlError`."""
        self._wait_for_last()
        yield from self._run(self._arguments())

    def follow(self, monitor_pidfd: int) -> Iterator[list[Entry]]:
        """Yield entries as they come, until the monitor has ended and its last one was read."""
        deadline = None
        following = _Journalctl([*self._arguments(), "--follow", *(() if self._selection.tail is not None else ("--no-tail",))])
        try:
            poll = select.poll()
            poll.register(following.descriptor, select.POLLIN)
            poll.register(monitor_pidfd, select.POLLIN)
            while deadline is None or time.monotonic() < deadline:
                ready = {descriptor for descriptor, _events in poll.poll(None if deadline is None else _PAUSE * 1000)}
                if following.descriptor in ready:
                    if (entries := following.read()) is None:
                        following.check()
                        return
                    yield self._shown(entries)
                if monitor_pidfd in ready and deadline is None:
                    poll.unregister(monitor_pidfd)
                    deadline = time.monotonic() + _PATIENCE
                if deadline is not None and self._last == self._noted():
                    return
        finally:
            following.end()

    def _arguments(self) -> list[str]:
        chosen = self._selection
        return [
            f"CONTAINER_ID_FULL={self._container_id}",
            *(() if chosen.tail is None else (f"--lines={chosen.tail}",)),
            *(() if chosen.since is None else (f"--since={_time(chosen.since)}",)),
            *(() if chosen.until is None else (f"--until={_time(chosen.until)}",)),
        ]

    def _run(self, arguments: list[str]) -> Iterator[list[Entry]]:
        program = _Journalctl(arguments)
        try:
            while (entries := program.read()) is not None:
                yield self._shown(entries)
            program.check()
        finally:
            program.end()

    def _shown(self, entries: list[dict[bytes, bytes]]) -> list[Entry]:
        return [entry for fields in entries if (entry := self._entry(fields)) is not None]

    def _entry(self, fields: dict[bytes, bytes]) -> Entry | None:
        self._last = fields.get(b"CONTAINER_LOG_EPOCH", b"") + b" " + fields.get(b"CONTAINER_LOG_ORDINAL", b"")
        if b"MESSAGE" not in fields or b"__REALTIME_TIMESTAMP" not in fields:
            return None
        text = fields[b"MESSAGE"].decode("utf-8", "surrogateescape") + ("" if b"CONTAINER_PARTIAL_MESSAGE" in fields else "\n")
        stream = _STREAMS.get(fields.get(b"PRIORITY", b""), "stdout")
        return Entry(text, stream, rfc3339(int(fields[b"__REALTIME_TIMESTAMP"]) * 1000), self._details)

    def _noted(self) -> bytes:
        """Return epoch and number of the last entry of the last run; nothing where none has ended."""
        try:
            with open(f"{self._folder}/{END_NOTE}", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def _wait_for_last(self) -> None:
        """Wait until the journal has what a container wrote that ended just now."""
        epoch, _, number = self._noted().decode().partition(" ")
        if number in ("", "0") or time.time() - os.stat(f"{self._folder}/{END_NOTE}").st_mtime > _PATIENCE:
            return
        deadline = time.monotonic() + _PATIENCE
        wanted = [f"CONTAINER_ID_FULL={self._container_id}", f"CONTAINER_LOG_EPOCH={epoch}", f"CONTAINER_LOG_ORDINAL={number}"]
        while not any(self._run([*wanted, "--lines=1"])) and time.monotonic() < deadline:
            time.sleep(_PAUSE)


class _Journalctl:
    """The program, whose output is read without waiting for its end."""

    def __init__(self, arguments: list[str]) -> None:
        import subprocess  # with this log driver only

        command = ["journalctl", "--quiet", "--no-pager", "--all", "--output=export", _OUTPUT, *arguments]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except FileNotFoundError:
            raise NodeLacks("cannot read the log in systemd's journal: there is no journalctl", "install systemd") from None
        assert self._process.stdout is not None
        self.descriptor = self._process.stdout.fileno()
        self._rest = b""

    def read(self) -> list[dict[bytes, bytes]] | None:
        """Return the fields of the entries that have come; None at the end."""
        block = os.read(self.descriptor, _BLOCK)
        if not block:
            return None
        entries, self._rest = split_export(self._rest + block)
        return entries

    def check(self) -> None:
        """Raise `RlError` where the journal could not be read."""
        _output, errors = self._process.communicate()
        if self._process.returncode != 0 and errors.strip():
            hint = "ask the administrator for journals of each user (mkdir /var/log/journal), or for the group systemd-journal"
            raise RlError(f"cannot read the log from systemd's journal: {errors.decode(errors='replace').strip()}", hint)

    def end(self) -> None:
        """End the program, if it still runs."""
        self._process.kill()
        self._process.communicate()


def split_export(content: bytes) -> tuple[list[dict[bytes, bytes]], bytes]:
    """Return the whole entries of journalctl's export format, and the rest (systemd.io/JOURNAL_EXPORT_FORMATS).

    A field is `NAME=value` on a line, or the name, and on the next line 8 bytes of little-endian length and so many of value; an
    empty line ends the entry.
    """
    entries: list[dict[bytes, bytes]] = []
    fields: dict[bytes, bytes] = {}
    position = start = 0
    while (end := content.find(b"\n", position)) >= 0:
        line = content[position:end]
        name, separator, value = line.partition(b"=")
        position = end + 1
        if not line:
            if fields:
                entries.append(fields)
            fields, start = {}, position
        elif separator:
            fields[name] = value
        else:
            length = int.from_bytes(content[position : position + 8], "little")
            if len(content) < position + 8 + length + 1:
                break
            fields[name] = content[position + 8 : position + 8 + length]
            position += 8 + length + 1
    return entries, content[start:]


def _time(nanoseconds: int) -> str:
    """Return a time as journalctl takes it, which knows microseconds."""
    seconds, rest = divmod(nanoseconds // 1000, 10**6)
    return f"@{seconds}.{rest:06d}"
