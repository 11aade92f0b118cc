"""The session loop: what pyfuse3 believes to be trio.

Theory of operation. `pyfuse3.main` opens a nursery, starts one task in it and awaits its end. The task, for each request: takes a
lock, awaits `trio.lowlevel.wait_readable(fd)`, read(2)s the request, calls the handler, awaits its coroutine, which replies by
writev(2). Nothing of that ever needs to wait but `wait_readable`. So our stand-in answers everything at once, and `wait_readable`
is where the process sleeps: in one poll(2) on /dev/fuse and the control socket, whose packets it handles itself. The whole of
`pyfuse3.main` thus runs to its end in one `send(None)`, with no scheduler.

A blocking read(2) instead of poll(2) and read(2) would spare one system call a request (0.3 µs of about 100), but a packet on the
control socket could then go unseen until the next request.

Most of those 100 µs are two wake-ups across processors, of which the one that we are woken on has gone to sleep (in a virtual
machine that is a way through the hypervisor). Who has just been answered mostly asks the next thing at once, so we look for that
for a moment before we sleep (`Watch`): 84 µs become 29 for open, read and close. Who else wants our processor gets it meanwhile.
"""

import contextlib
import os
import select
import time
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any, Final

from fuse_overlay.negotiation import Negotiation
from fuse_overlay.standins import pyfuse3

_AWAKE: Final = 100_000  # nanoseconds
_MOST_ASLEEP: Final = 256


class _Done:
    """An awaitable whose result is there: None."""

    def __await__(self) -> Iterator[None]:
        return iter(())


_DONE = _Done()


class _Lock:
    """The lock between several tasks that read requests; there is only one."""

    def __aenter__(self) -> _Done:
        return _DONE

    def __aexit__(self, *_exception: object) -> _Done:
        return _DONE


class _Nursery:
    """Runs the one task when the block that started it ends."""

    def __init__(self) -> None:
        self._task: Coroutine[Any, Any, None] | None = None

    def start_soon(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any, name: str) -> None:  # noqa: ARG002
        """Note the task; pyfuse3 names it for its log."""
        self._task = function(*arguments)

    async def __aenter__(self) -> "_Nursery":
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._task is not None:
            await self._task


class _ClosedResourceError(Exception):
    """What trio raises in `wait_readable` when the descriptor is closed; here never."""


class Watch:
    """Waits for events: first awake, then asleep. It stays awake less often while that is in vain, again after it was not."""

    def __init__(self, poll: Callable[[int | None], list[tuple[int, int]]]) -> None:
        """`poll` is that of `select.poll`: it takes milliseconds, None for ever."""
        self._poll = poll
        self._asleep = 0  # how often to go to sleep at once
        self._next = 1  # the same after the next time that it is in vain

    def wait(self) -> list[tuple[int, int]]:
        """Return the next events, at least one."""
        if self._asleep:
            self._asleep -= 1
            return self._poll(None)
        end = time.monotonic_ns() + _AWAKE
        while not (found := self._poll(0)):
            if (now := time.monotonic_ns()) > end:
                # Who has had our processor for so long needs it: the kernel prefers those that it wakes to those that wait for it.
                self._asleep = self._next if now < end + _AWAKE else _MOST_ASLEEP
                self._next = min(2 * self._next, _MOST_ASLEEP)
                return self._poll(None)
            os.sched_yield()  # the asker may need this processor to ask
        self._next = 1
        return found


def serve(fuse: int, control: int, on_control: Callable[[], None], between: Callable[[], None]) -> None:
    """Serve until the file system is unmounted. `pyfuse3.init` was called; `fuse` and `control` are descriptors.

    `on_control` is called when `control` is readable, `between` before each request.
    """
    poll = select.poll()
    poll.register(fuse, select.POLLIN)
    poll.register(control, select.POLLIN)
    watch = Watch(poll.poll)
    negotiation: Negotiation | None = None

    def wait_readable(_descriptor: int) -> _Done:
        between()
        while True:
            served = False
            for descriptor, _events in watch.wait():
                if descriptor == fuse:
                    served = True
                elif descriptor == control:
                    on_control()
                elif negotiation is not None:
                    poll.unregister(descriptor)
                    negotiation.finish()
            if served:
                return _DONE

    pyfuse3.trio = SimpleNamespace(  # type: ignore[attr-defined]
        Lock=_Lock,
        open_nursery=_Nursery,
        ClosedResourceError=_ClosedResourceError,
        lowlevel=SimpleNamespace(
            wait_readable=wait_readable,
            current_task=lambda: SimpleNamespace(name="session"),
            current_trio_token=lambda: None,
            notify_closing=lambda _descriptor: None,
        ),
    )
    # Aborted: who mounted it was killed before the first request, or somebody wrote to fusectl's `abort`.
    with contextlib.suppress(StopIteration, ConnectionAbortedError):
        negotiation = Negotiation(fuse)
        poll.register(negotiation.answered, select.POLLIN)
        pyfuse3.main(min_tasks=1, max_tasks=1).send(None)
