"""Reading the body of a response within bounds of size and time."""

import httpx
import trio

from rootless.errors import RegistryError
from rootless.registry.retry import PassingError, Patience


async def read_limited(response: httpx.Response, limit: int, patience: Patience) -> bytes:
    """Return a small body whole. Raises `RegistryError` above `limit` bytes, `PassingError` when it takes too long."""
    parts: list[bytes] = []
    size = 0
    with trio.move_on_after(patience.document_seconds) as deadline:
        async for part in response.aiter_raw():
            size += len(part)
            if size > limit:
                raise RegistryError(f"{response.request.url.host} sent more than {limit} bytes for a small document")
            parts.append(part)
    if deadline.cancelled_caught:
        raise PassingError(RegistryError(f"{response.request.url.host} is too slow", "try again later"))
    return b"".join(parts)
