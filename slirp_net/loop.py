"""The one loop: waits for descriptors and for the next timer, and for nothing else.

Theory of operation. `watch` registers a descriptor with the function that is called with its events. Host sockets are watched
edge-triggered for everything at once, so that no system call is ever needed to change what is waited for; who stops reading in
the middle (a full window, a fair share used up) remembers it and is asked again by whatever made it stop.

A timer belongs to an object with a `deadline` that may move at any time. The heap holds at most one useful entry an object, made
for a deadline that was right once: when it comes up and the deadline has moved later, it is put back. So a busy connection that
moves its retransmission time-out with every segment costs nothing. Useless entries, left by deadlines that moved earlier and by
objects that have ended, lie there until their time, which may be hours ahead (keep-alive); so they are thrown out whenever the heap
has doubled, and by `tidy`.
"""

from __future__ import annotations

from _heapq import heappop, heappush
from select import EPOLLET, EPOLLIN, EPOLLOUT, EPOLLRDHUP, epoll
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    class Timed(Protocol):
        """What has a deadline. `alarm` belongs to the loop: the time of the object's entry in the heap."""

        alarm: float

        @property
        def deadline(self) -> float:
            """When `on_timer` is to be called, in seconds of the loop's clock; infinity for never."""

        def on_timer(self) -> None:
            """Do what was due, which moves the deadline."""


READABLE: Final = EPOLLIN
WRITABLE: Final = EPOLLOUT
ALL_EDGES: Final = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET
NEVER: Final = float("inf")
_MOST_EVENTS: Final = 64
_FEW: Final = 1024  # entries of the heap


class Loop:
    """The loop; `now` is the time at which the present round began, in seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._epoll = epoll()
        self._functions: dict[int, Callable[[int], None]] = {}
        self._heap: list[tuple[float, int, Timed]] = []
        self._entries = 0
        self._most = _FEW  # entries of the heap, before it is tidied
        self._after: list[Callable[[], bool]] = []
        self._running = True
        self.now = clock()

    def watch(self, descriptor: int, events: int, function: Callable[[int], None]) -> None:
        """Call `function` with the events of `descriptor`, any of `events` (and errors), until `forget`."""
        self._functions[descriptor] = function
        self._epoll.register(descriptor, events)

    def change(self, descriptor: int, events: int) -> None:
        """Wait for other events of a watched descriptor."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Stop watching; before the descriptor is closed, as its number is used again."""
        del self._functions[descriptor]
        self._epoll.unregister(descriptor)

    def after_each_round(self, function: Callable[[], bool]) -> None:
        """Call `function` when all events of a round are done; if it returns True there is more to do, and nothing waits."""
        self._after.append(function)

    def schedule(self, timed: Timed) -> None:
        """Make sure that `timed.on_timer` is called at its deadline."""
        if timed.deadline < timed.alarm:
            timed.alarm = timed.deadline
            self._entries += 1
            heappush(self._heap, (timed.deadline, self._entries, timed))
            if len(self._heap) > self._most:
                self.tidy()

    def tidy(self) -> None:
        """Throw the useless entries out of the heap, and so let go of objects that have ended."""
        kept = []
        for entry in self._heap:
            at, _, timed = entry
            if at != timed.alarm:
                continue
            if timed.deadline == NEVER:
                timed.alarm = NEVER
            else:
                kept.append(entry)
        kept.sort()
        self._heap[:] = kept  # `_ring` may be going through it
        self._most = max(2 * len(kept), _FEW)

    def stop(self) -> None:
        """Return from `run` after this round."""
        self._running = False

    def run(self) -> None:
        """Serve until `stop`."""
        more = False
        while self._running:
            more = self.round(0 if more else self._patience())

    def round(self, patience: float | None) -> bool:
        """Wait up to `patience` seconds (None: for ever) and serve what has happened; tells whether there is more to do."""
        ready = self._epoll.poll(patience, _MOST_EVENTS)
        self.now = self._clock()
        functions = self._functions
        for descriptor, events in ready:
            function = functions.get(descriptor)
            if function is not None:  # forgotten by an earlier function of this round
                function(events)
        if self._heap and self._heap[0][0] <= self.now:
            self._ring()
        more = False
        for function_after in self._after:
            more |= function_after()
        return more

    def _patience(self) -> float | None:
        return max(self._heap[0][0] - self.now, 0) if self._heap else None

    def _ring(self) -> None:
        heap = self._heap
        while heap and heap[0][0] <= self.now:
            at, _, timed = heappop(heap)
            if at != timed.alarm:
                continue  # an entry made for a later time than the object's present one
            timed.alarm = NEVER
            if timed.deadline <= self.now:
                timed.on_timer()
            self.schedule(timed)
