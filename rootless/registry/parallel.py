"""Several tasks at once, with one error at the end instead of a group of them."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import trio

from rootless.errors import RlError

T = TypeVar("T")


async def for_all(items: Iterable[T], action: Callable[[T], Awaitable[object]], at_once: int) -> None:
    """Call `action` with each item, `at_once` at a time. The first error ends all and is raised, out of its group."""
    limit = trio.CapacityLimiter(at_once)

    async def one(item: T) -> None:
        async with limit:
            await action(item)

    try:
        async with trio.open_nursery() as nursery:
            for item in items:
                nursery.start_soon(one, item)
    except BaseExceptionGroup as group:
        raise first_of(group) from group


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error that ended a nursery: Ctrl-C before all, then one for the user, before any other."""
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        one = pending.pop(0)
        if isinstance(one, BaseExceptionGroup):
            pending.extend(one.exceptions)
        else:
            leaves.append(one)
    return min(leaves, key=lambda leaf: (not isinstance(leaf, KeyboardInterrupt), not isinstance(leaf, RlError)))
