"""inotify(7): being told when a file changes."""

import os
import struct
from typing import Final, NamedTuple

from rootless.linux.libc import call

IN_MODIFY: Final = 0x002
IN_ATTRIB: Final = 0x004
IN_CLOSE_WRITE: Final = 0x008
IN_MOVED_TO: Final = 0x080
IN_CREATE: Final = 0x100
IN_DELETE: Final = 0x200
IN_DELETE_SELF: Final = 0x400
IN_MOVE_SELF: Final = 0x800
IN_Q_OVERFLOW: Final = 0x4000
IN_IGNORED: Final = 0x8000

_EVENT: Final = struct.Struct("@iIII")  # watch descriptor, mask, cookie, length of the name
_READ_SIZE: Final = 1 << 16


class Event(NamedTuple):
    """One change; `watch` is what `Inotify.watch` returned, `name` the entry of a watched folder that changed, else b""."""

    watch: int
    mask: int
    name: bytes


class Inotify:
    """A non-blocking inotify instance; `fileno` polls readable when there are events."""

    def __init__(self) -> None:
        """Make the instance. Raises `OSError` (EMFILE: fs.inotify.max_user_instances is used up)."""
        self._descriptor = call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def watch(self, path: str, mask: int) -> int:
        """Watch a file or folder for the IN_… events of `mask`. Raises `OSError` (ENOSPC: too many watches of this user)."""
        return call("inotify_add_watch", self._descriptor, os.fsencode(path), mask, path=path)

    def read(self) -> list[Event]:
        """Return the events that are there, and forget them; [] where there are none."""
        try:
            content = os.read(self._descriptor, _READ_SIZE)
        except BlockingIOError:
            return []
        events: list[Event] = []
        position = 0
        while position < len(content):
            watch, mask, _cookie, length = _EVENT.unpack_from(content, position)
            position += _EVENT.size + length
            events.append(Event(watch, mask, content[position - length : position].rstrip(b"\0")))
        return events

    def close(self) -> None:
        """Close the instance with all its watches."""
        os.close(self._descriptor)
