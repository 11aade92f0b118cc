"""A file of the host's that is followed as it changes.

It is looked at, by stat(2), whenever somebody asks for what is in it; so nothing watches it, and a change counts from the next
question on, however it came about: the file was written anew or replaced, or a symbolic link leads to another one.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_LARGEST: Final = 1 << 18  # bytes; what follows is passed over


class FollowedFile:
    """The file at a path."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = ()

    def change(self) -> str | None:
        """Return the contents if this is the first call or they may have changed since the last one, else None.

        A file that is not there, or not readable at the moment, is as an empty one (as for the C library).
        """
        try:
            status = os.stat(self._path)
        except OSError:  # as said
            seen = None
        else:
            seen = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
        if seen == self._seen:
            return None
        self._seen = seen
        try:
            with open(self._path, "rb", buffering=0) as file:
                return file.read(_LARGEST).decode("ascii", "replace")
        except OSError:  # as said
            return ""
