"""A plain event loop over epoll(7): descriptors and what to do when they are ready, and timers. One a process, no threads."""

import select
import time
from collections.abc import Callable
from typing import Final

READABLE: Final = select.EPOLLIN | select.EPOLLRDHUP
WRITABLE: Final = select.EPOLLOUT


class Timer:
    """Something that is to be done at a time of the monotonic clock."""

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback = callback


class Loop:
    """Calls back with the event mask until `stop`.

    What a callback raises goes to `on_failure`, and its descriptor is watched no longer: one broken stream or client must not
    end the others.
    """

    def __init__(self, on_failure: Callable[[Exception], None]) -> None:
        self._on_failure = on_failure
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._masks: dict[int, int] = {}
        self._running = True
        self._timers: list[Timer] = []  # few: a list is enough

    def watch(self, descriptor: int, mask: int, callback: Callable[[int], None]) -> None:
        """Watch a descriptor, or change what is watched; a mask of 0 keeps only errors and hang-ups."""
        if descriptor not in self._masks:
            self._epoll.register(descriptor, mask)
        elif self._masks[descriptor] != mask:
            self._epoll.modify(descriptor, mask)
        self._masks[descriptor] = mask
        self._callbacks[descriptor] = callback

    def forget(self, descriptor: int) -> None:
        """Stop watching; call it before the descriptor is closed."""
        if self._masks.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)
            del self._callbacks[descriptor]

    def stop(self) -> None:
        """Let `run` return after the current callback."""
        self._running = False

    def run(self) -> None:
        """Wait and call back until `stop`."""
        while self._running:
            self.run_once(None)

    def call_in(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call back once, `seconds` from now; `cancel` takes the timer that is returned."""
        timer = Timer(time.monotonic() + seconds, callback)
        self._timers.append(timer)
        return timer

    def cancel(self, timer: Timer | None) -> None:
        """Forget a timer; one that is over, or None, is fine."""
        if timer in self._timers:
            self._timers.remove(timer)

    def run_once(self, seconds: float | None) -> None:
        """Wait for events or a timer once, at most `seconds`, and call back for each."""
        if self._timers:
            left = max(0.0, min(timer.when for timer in self._timers) - time.monotonic())
            seconds = left if seconds is None else min(left, seconds)
        for descriptor, events in self._epoll.poll(seconds):
            callback = self._callbacks.get(descriptor)  # an earlier callback of this round may have forgotten it
            if callback is not None:
                try:
                    callback(events)
                except Exception as error:
                    self.forget(descriptor)
                    self._on_failure(error)
        if self._timers:
            self._call_timers(time.monotonic())

    def _call_timers(self, now: float) -> None:
        for timer in [one for one in self._timers if one.when <= now]:
            if timer in self._timers:  # an earlier one of this round may have cancelled it
                self._timers.remove(timer)
                try:
                    timer.callback()
                except Exception as error:
                    self._on_failure(error)
