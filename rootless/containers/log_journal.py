"""A container's log in systemd's journal, spoken to by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

One datagram an entry, with Docker's and conmon's fields: MESSAGE, PRIORITY (6 for output, 3 for errors), CONTAINER_NAME,
CONTAINER_ID, CONTAINER_ID_FULL, CONTAINER_TAG, IMAGE_NAME, SYSLOG_IDENTIFIER, and CONTAINER_PARTIAL_MESSAGE for a piece of a line
that goes on. The journal takes entries in its own time: so each has the run (CONTAINER_LOG_EPOCH) and its number in that
(CONTAINER_LOG_ORDINAL), and the last of a run is noted in the container's folder, by which a reader knows when it has seen all.
"""

import os
from collections.abc import Mapping
from typing import Final

from rootless.containers import clock
from rootless.containers.log_lines import MAX_PARTIAL, Lines
from rootless.errors import NodeLacks
from rootless.linux.sockets import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, socket

SOCKET: Final = "/run/systemd/journal/socket"
END_NOTE: Final = "journal-end"
"""The file in the container's folder: EPOCH, a space, the number of entries."""

_PRIORITIES: Final = {"stdout": b"6", "stderr": b"3"}


class JournalLog:
    """Sends entries, and waits when the journal is slow; one that is gone costs entries, and the container goes on."""

    def __init__(self, folder: str, fields: Mapping[str, str]) -> None:
        """`fields` go into each entry. Raises `NodeLacks` where there is no journal."""
        self._note = f"{folder}/{END_NOTE}"
        self._epoch = clock.now()
        self._count = 0
        self._lines = Lines()
        self._lost = ""
        constant = {**fields, "CONTAINER_LOG_EPOCH": self._epoch}
        self._constant = b"".join(field(name, value.encode("utf-8", "surrogateescape")) for name, value in constant.items())
        self._sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)
        try:
            self._sock.connect(SOCKET)
        except OSError as error:
            self._sock.close()
            hint = "use another log driver (--log-driver json-file), or a node with systemd"
            raise NodeLacks(f"the log driver journald needs systemd's journal: {SOCKET}: {error.strerror}", hint) from None

    def write(self, stream: str, content: bytes) -> None:
        """Log what a stream wrote; an unfinished line is kept for later."""
        self._send_lines(stream, self._lines.take(stream, content))

    def flush(self) -> None:
        """Log the unfinished lines as they are, and note what the last entry is."""
        for stream, line in self._lines.take_rest():
            self._send_lines(stream, line)
        new = f"{self._note}.new"
        try:
            with open(new, "w", encoding="ascii") as file:
                file.write(f"{self._epoch} {self._count}")
            os.rename(new, self._note)
        except OSError as error:  # a full disk: a reader does not wait for the last entries then
            self._lost = os.strerror(error.errno or 0)

    def _send_lines(self, stream: str, lines: bytes) -> None:
        *whole, rest = lines.split(b"\n")
        for line in whole:
            for start in range(0, len(line) - MAX_PARTIAL, MAX_PARTIAL):
                self._send(stream, line[start : start + MAX_PARTIAL], is_partial=True)
            self._send(stream, line[_last_piece(len(line)) :])
        for start in range(0, len(rest), MAX_PARTIAL):
            self._send(stream, rest[start : start + MAX_PARTIAL], is_partial=True)

    def _send(self, stream: str, message: bytes, *, is_partial: bool = False) -> None:
        if self._lost:
            self._lost, lost = "", self._lost
            self._send("stderr", f"[log lost: {lost}]".encode())
        entry = field("MESSAGE", message) + b"PRIORITY=%b\nCONTAINER_LOG_ORDINAL=%d\n" % (_PRIORITIES[stream], self._count + 1)
        partial = b"CONTAINER_PARTIAL_MESSAGE=true\n" if is_partial else b""
        for is_last_try in (False, True):
            try:
                self._sock.send(b"".join((entry, partial, self._constant)))
            except OSError as error:
                self._lost = os.strerror(error.errno or 0)
            else:
                self._lost = ""
                self._count += 1
                return
            if is_last_try or not self._reconnect():
                return

    def _reconnect(self) -> bool:
        """Connect again: a journal that was restarted has another socket at the same path."""
        try:
            self._sock.connect(SOCKET)
        except OSError as error:
            self._lost = os.strerror(error.errno or 0)
            return False
        return True


def _last_piece(length: int) -> int:
    """Return where the last piece of a line begins, which is empty only if the line is."""
    return max(length - 1, 0) // MAX_PARTIAL * MAX_PARTIAL


def field(name: str, value: bytes) -> bytes:
    """Return a field of an entry; its name is made one that the journal takes (A-Z, 0-9, _, not at the beginning)."""
    characters = (character if character.isascii() and character.isalnum() else "_" for character in name.upper())
    safe = "".join(characters).lstrip("_0123456789").encode()
    if b"\n" in value:
        return safe + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return b"%b=%b\n" % (safe, value)
