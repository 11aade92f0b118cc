"""Sequence numbers (RFC 9293, section 3.4).

On the wire they are 32 bits and wrap; in a connection they are plain integers that only grow: `unwrap` is the border between the
two. So windows compare and subtract like any numbers, and no code but this has to think of wrapping.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MASK: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000


def unwrap(wire: int, near: int) -> int:
    """Return the number that is `wire` modulo 2**32 and at most 2**31 away from `near`."""
    return near + ((wire - near + _HALF) & MASK) - _HALF
