"""Trying again: what may pass by itself (429, 5xx, a lost connection, a stall), how often, and after how long."""

import random
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeVar

import httpx
import trio

from rootless.errors import RlError

T = TypeVar("T")

PASSING_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_RETRY_AFTER: Final = 30.0


class Patience(NamedTuple):
    """Times in seconds and limits of one registry's requests.

    `stall_bytes` must arrive in `stall_seconds`, else the connection counts as lost: a server that sends a byte now and then
    would hold a pull for ever. `tries` are consecutive tries without progress. A blob goes up in chunks of `chunk_bytes`, as
    servers before a registry often limit a request's body; `commit_seconds` may pass until the registry has checked and stored
    it.
    """

    connect_seconds: float = 15.0
    read_seconds: float = 30.0
    stall_seconds: float = 30.0
    stall_bytes: int = 64 << 10
    document_seconds: float = 60.0
    tries: int = 5
    first_pause: float = 0.25
    chunk_bytes: int = 64 << 20
    commit_seconds: float = 300.0

    def pause(self, tried: int, asked: float | None) -> float:
        """Return how long to wait after `tried` failures: doubling, with jitter, or what the server asked for, bounded."""
        if asked is not None:
            return min(asked, _MAX_RETRY_AFTER)
        return float(self.first_pause * 2 ** (tried - 1) * random.uniform(0.75, 1.25))  # noqa: S311 - no secret


class PassingError(Exception):
    """A failure that may pass: `error` is what the user is told when it does not; `pause` what the server asked for (s)."""

    def __init__(self, error: RlError, pause: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.pause = pause


def retry_after(response: httpx.Response) -> float | None:
    """Return a Retry-After header's seconds; None without one (its other form, a date, is not used by registries)."""
    text = response.headers.get("retry-after", "")
    return float(text) if text.isdecimal() and len(text) < 9 else None


async def persistently(patience: Patience, once: Callable[[], Awaitable[T]]) -> T:
    """Return what `once` gives, trying again after a `PassingError`; the last one's error is raised."""
    failures = 0
    while True:
        try:
            return await once()
        except PassingError as failure:
            failures += 1
            if failures >= patience.tries:
                raise failure.error from failure
            await trio.sleep(patience.pause(failures, failure.pause))
