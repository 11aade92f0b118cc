"""The memory that packets are read into: slots of one anonymous mapping.

Theory of operation. A frame from the device, or data from a socket, is read into a slot, and whoever still needs the data keeps the
slot instead of copying: a connection until the container has acknowledged it, a host socket's queue until the socket
has taken it. Slots are used last in, first out, so that the busy ones stay in the cache. The mapping has no more than SLOTS, which
bounds the memory of the whole stack; untouched slots cost nothing, and after a burst `trim` gives the pages back to the kernel.

Little data is copied instead, so that one byte does not keep a whole slot. Copies are counted with what an object costs in
Python. What waits for host sockets may fill three quarters of the slots (`has_plenty`) and COPIES (`has_room`), the rest is for
what is under way to the container, so that connections to servers that take nothing leave room for others. When memory is short
(`is_short`), windows stay small; when there is none, data is not taken, and the container and the outside wait or send again.
"""

from __future__ import annotations

from mmap import MADV_DONTNEED, MAP_ANONYMOUS, MAP_PRIVATE, PAGESIZE, mmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# The largest frame: 10 bytes of virtio header, 14 of Ethernet, 64 KiB of IP; in whole pages.
SLOT_SIZE: Final = -(-(65536 + 24) // PAGESIZE) * PAGESIZE
SLOTS: Final = 384  # 25.5 MiB
COPIES: Final = 16 << 20  # bytes
_COST: Final = 512  # bytes of the objects around a copy
_COPY: Final = -1


class Slot:
    """A buffer of SLOT_SIZE bytes, or a copy of just as many as it has."""

    __slots__ = ("number", "view")

    def __init__(self, number: int, view: memoryview) -> None:
        self.number = number
        self.view = view


class Arena:
    """All slots. `used` counts those that are in somebody's hands, `copied` the bytes kept elsewhere, with what they cost."""

    __slots__ = ("_free", "_made", "_mapping", "_views", "copied", "limit", "used")

    def __init__(self, limit: int = SLOTS) -> None:
        self._mapping = mmap(-1, limit * SLOT_SIZE, MAP_PRIVATE | MAP_ANONYMOUS)
        self._views = memoryview(self._mapping)
        self._free: list[Slot] = []
        self._made = 0
        self.limit = limit
        self.used = 0
        self.copied = 0

    @property
    def is_short(self) -> bool:
        """Whether so much is in use that nobody should ask for more."""
        return self.used > self.limit >> 1 or self.copied > COPIES >> 1

    @property
    def has_room(self) -> bool:
        """Whether there is room for copies of data that waits for a host socket or for data before it."""
        return self.copied < COPIES

    @property
    def has_reserve(self) -> bool:
        """Whether there is room for copies of data under way to the container."""
        return self.copied < 2 * COPIES

    @property
    def has_plenty(self) -> bool:
        """Whether slots may be kept for data that waits for a host socket."""
        return self.used < self.limit - (self.limit >> 2)

    @property
    def has_spare(self) -> bool:
        """Whether `take` would return a slot."""
        return self.used < self.limit

    def take(self) -> Slot | None:
        """Return a slot of undefined contents, or None when all are in use."""
        if self._free:
            self.used += 1
            return self._free.pop()
        if self._made == self.limit:
            return None
        start = self._made * SLOT_SIZE
        slot = Slot(self._made, self._views[start : start + SLOT_SIZE])
        self._made += 1
        self.used += 1
        return slot

    def copy(self, data: memoryview) -> Slot:
        """Return a slot that is a copy of `data`, whether there is room or not."""
        self.copied += len(data) + _COST
        return Slot(_COPY, memoryview(bytes(data)))

    def give(self, slot: Slot) -> None:
        """Take a slot back."""
        if slot.number == _COPY:
            self.copied -= len(slot.view) + _COST
            return
        self.used -= 1
        self._free.append(slot)

    def trim(self, keep: int = 1) -> None:
        """Give the pages of all free slots but the `keep` last used ones back to the kernel; they read as zero afterwards."""
        for slot in self._free[: max(len(self._free) - keep, 0)]:
            self._mapping.madvise(MADV_DONTNEED, slot.number * SLOT_SIZE, SLOT_SIZE)
