"""Putting fragments together (RFC 791, section 3.2; RFC 815; RFC 8200, section 4.5), within limits that both versions share.

Theory of operation. The pieces of a datagram are kept, copied, by source, destination, protocol and identification until they
cover it from the first byte to the end that the last fragment tells. Overlaps are not repaired: a piece that overlaps another one
drops the datagram, and what still comes of it (as RFC 5722 demands for IPv6), because nobody but an attacker makes them. What is
not complete after LIFETIME is dropped, which the sender is told if its first piece is there, and so is the oldest datagram when too
much is kept.
"""

from __future__ import annotations

from slirp_net.loop import NEVER
from slirp_net.wire import ipv4, ipv6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeAlias

    from slirp_net.loop import Loop

    Key: TypeAlias = tuple[bytes, bytes, int, int]

LIFETIME: Final = 30.0  # seconds
_MOST_BYTES: Final = 1 << 20  # of all datagrams together
_MOST_PIECES: Final = 128  # of one datagram: 64 KiB at the smallest MTU there is
_LONGEST: Final = {4: ipv4.MAX_TOTAL - ipv4.LENGTH, 16: ipv6.MAX_PAYLOAD}  # by the length of an address
_OVERHEAD: Final = 256  # bytes that a piece costs besides its own


class Datagram:
    """The pieces of one datagram; `header` is that of its first fragment, `length` of the whole payload once it is known."""

    __slots__ = ("cost", "expires", "header", "is_spoilt", "length", "most", "pieces")

    def __init__(self, expires: float, most: int) -> None:
        """`most` is the longest payload, in bytes."""
        self.expires = expires
        self.most = most
        self.header = b""
        self.length = -1
        self.cost = 0
        self.is_spoilt = False  # nothing is taken any more
        self.pieces: dict[int, bytes] = {}  # by offset

    def add(self, offset: int, piece: bytes, *, last: bool) -> bool:
        """Add a piece; tells whether the datagram can still become whole."""
        end = offset + len(piece)
        if self.pieces.get(offset) == piece:
            return True  # a duplicate
        if end > self.most or len(self.pieces) >= _MOST_PIECES:
            return False
        if (last and self.length >= 0) or (not last and (len(piece) % 8 or not piece)):
            return False
        if any(offset < other + len(kept) and other < end for other, kept in self.pieces.items()):
            return False
        self.pieces[offset] = piece
        self.cost += len(piece) + _OVERHEAD
        if last:
            self.length = end
        return self.length < 0 or max(other + len(kept) for other, kept in self.pieces.items()) <= self.length

    def spoil(self) -> None:
        """Give up the pieces, and take no more."""
        self.is_spoilt = True
        self.pieces.clear()
        self.cost = _OVERHEAD

    def whole(self) -> bytes | None:
        """Return header and payload when all pieces are there."""
        if self.is_spoilt or self.length < 0 or sum(map(len, self.pieces.values())) != self.length:
            return None
        return self.header + b"".join(piece for _offset, piece in sorted(self.pieces.items()))


class Reassembly:
    """The datagrams that are not complete yet, oldest first."""

    def __init__(self, loop: Loop, on_incomplete: Callable[[bytes], None]) -> None:
        """`on_incomplete` is given the first fragment of what was not complete in time."""
        self.alarm = NEVER
        self.deadline = NEVER
        self._loop = loop
        self._on_incomplete = on_incomplete
        self._datagrams: dict[Key, Datagram] = {}
        self._cost = 0

    def add(self, packet: memoryview, header_length: int, key: Key, fragment: int) -> bytes | None:
        """Take a fragment; returns the whole packet, its header that of the first fragment, when this was the last one missing.

        `fragment` is the header's field of flags and offset. The header's lengths and checksum are not made to fit the whole.
        """
        datagram = self._datagrams.get(key)
        if datagram is None:
            datagram = self._datagrams[key] = Datagram(self._loop.now + LIFETIME, _LONGEST[len(key[0])])
        if datagram.is_spoilt:
            return None
        offset = (fragment & ipv4.OFFSET_MASK) << 3
        if not offset:
            datagram.header = bytes(packet[:header_length])
        before = datagram.cost
        if not datagram.add(offset, bytes(packet[header_length:]), last=not fragment & ipv4.MORE_FRAGMENTS):
            datagram.spoil()
        self._cost += datagram.cost - before
        whole = datagram.whole()
        if whole is not None:
            self._drop(key)
        while self._cost > _MOST_BYTES:
            self._drop(next(iter(self._datagrams)))
        self._plan()
        return whole

    def on_timer(self) -> None:
        """Drop what has been incomplete for too long."""
        while self._datagrams:
            key, datagram = next(iter(self._datagrams.items()))
            if datagram.expires > self._loop.now:
                break
            self._drop(key)
            if 0 in datagram.pieces:
                self._on_incomplete(datagram.header + datagram.pieces[0])
        self._plan()

    def _drop(self, key: Key) -> None:
        self._cost -= self._datagrams.pop(key).cost

    def _plan(self) -> None:
        self.deadline = next(iter(self._datagrams.values())).expires if self._datagrams else NEVER
        self._loop.schedule(self)
