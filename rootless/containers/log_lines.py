"""A container's output put together to lines, from the pieces in which its streams bring it."""

from collections.abc import Iterator
from typing import Final

MAX_PARTIAL: Final = 16 << 10
"""Bytes of a line without end that are logged as they are, as in Docker."""


class Lines:
    """What is unfinished of each stream."""

    def __init__(self) -> None:
        self._unfinished = {"stdout": b"", "stderr": b""}

    def take(self, stream: str, content: bytes) -> bytes:
        """Return the lines that `content` completes, and an unfinished one when it is long; the rest is kept."""
        if self._unfinished[stream]:
            content = self._unfinished[stream] + content
            self._unfinished[stream] = b""
        end = content.rfind(b"\n") + 1
        if len(content) - end < MAX_PARTIAL:
            content, self._unfinished[stream] = content[:end], content[end:]
        return content

    def take_rest(self) -> Iterator[tuple[str, bytes]]:
        """Yield stream and unfinished line of those that have one."""
        for stream, line in self._unfinished.items():
            if line:
                yield stream, line
                self._unfinished[stream] = b""
