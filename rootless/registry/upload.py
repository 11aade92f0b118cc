"""Pushing by the OCI distribution spec ("Pushing"): blobs, then the manifest that names them.

Theory of operation. A blob is looked for first, then mounted from another repository of the same registry where one has it, else
sent to the location that the registry names, which changes with every answer:

    HEAD  blobs/DIGEST                          200 it is there · 404
    POST  blobs/uploads/?mount=DIGEST&from=…    201 mounted     · 202 Location
    PATCH Location, a chunk                     202 Location, Range: 0-LAST
    PUT   Location?digest=DIGEST                201

After a loss in the middle GET Location tells how much has arrived (204, Range), and the upload goes on there; a registry that has
forgotten it (404), or counts otherwise than we do, gets the blob from its beginning. Small blobs go with the PUT itself.
"""

import enum
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import BinaryIO, Final, NamedTuple

import httpx
import trio

from rootless.errors import CorruptImage, RegistryError, RlError
from rootless.registry.limited import read_limited
from rootless.registry.parallel import for_all
from rootless.registry.retry import PassingError, persistently
from rootless.registry.session import Call, Session

_BLOCK: Final = 256 << 10
_SMALL: Final = 1 << 20  # bytes that are sent with the PUT
AT_ONCE: Final = 4
_MAX_ANSWER: Final = 64 << 10
_FORGOTTEN: Final = frozenset({400, 404, 405, 410, 416})
_EMPTY: Final = {"content-length": "0"}
_UPLOADED: Final = frozenset({201, 202, 204})

OpenContent = Callable[[], BinaryIO]
Told = Callable[[int], None]


class Outcome(enum.Enum):
    """How a blob came to be in a repository."""

    EXISTED = "existed"
    MOUNTED = "mounted"
    SENT = "sent"


class BlobSource(NamedTuple):
    """A blob to push: `open_content` opens its bytes, seekable, anew for each try; `mount_from` is a repository that has it."""

    digest: str
    size: int
    open_content: OpenContent
    mount_from: str | None = None


def _nothing(_offset: int) -> None:
    """Tell nobody."""


async def push(session: Session, reference: str, content: bytes, media_type: str, blobs: Sequence[BlobSource] = ()) -> str:
    """Push blobs, several at once, then the manifest that names them (or an index, a signature); return its digest.

    `reference` is a tag or the manifest's digest. Raises `RegistryError`, `CorruptImage`, `OSError` of a blob that cannot be read.
    """
    distinct = {blob.digest: blob for blob in blobs}.values()
    await for_all(distinct, lambda blob: upload_blob(session, *blob), AT_ONCE)
    return await put_manifest(session, reference, content, media_type)


async def put_manifest(session: Session, reference: str, content: bytes, media_type: str) -> str:
    """Put a manifest or index under a tag or its digest, and return its digest. Raises `RegistryError`."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    headers = {"content-type": media_type, "content-length": str(len(content))}

    async def blocks() -> AsyncIterator[bytes]:
        yield content

    async def once() -> None:
        call = Call("PUT", f"manifests/{reference}", headers, blocks, _UPLOADED, session.patience.commit_seconds)
        async with session.send(call) as response:
            await read_limited(response, _MAX_ANSWER, session.patience)
            stored = response.headers.get("docker-content-digest", digest)
            if stored.startswith("sha256:") and stored != digest:
                raise RegistryError(f"{session.endpoint} changed the manifest {digest}: it has {stored!r:.100} now")

    await persistently(session.patience, once)
    return digest


async def has_blob(session: Session, digest: str) -> bool:
    """Tell whether a repository has a blob. Raises `RegistryError`."""

    async def once() -> bool:
        async with session.send(Call("HEAD", f"blobs/{digest}", expected={200, 404})) as response:
            return response.status_code == 200

    return await persistently(session.patience, once)


async def upload_blob(
    session: Session,
    digest: str,
    size: int,
    open_content: OpenContent,
    mount_from: str | None = None,
    told: Told = _nothing,
) -> Outcome:
    """Bring a blob of `size` bytes into a repository, unless it is there; `told` gets the bytes that have been sent.

    Gives up after `Patience.tries` tries without progress. Raises `RegistryError`, `CorruptImage` where the content is shorter
    than `size`, `OSError` of reading it.
    """
    if await has_blob(session, digest):
        return Outcome.EXISTED
    upload = _Upload(session, BlobSource(digest, size, open_content, mount_from), told)
    failures = confirmed = 0
    while True:
        try:
            return await upload.go_on()
        except PassingError as failure:
            progressed = upload.offset - confirmed >= session.patience.stall_bytes
            confirmed = max(confirmed, upload.offset)
            failures = 1 if progressed else failures + 1
            if failures >= session.patience.tries:
                raise failure.error from failure
            await trio.sleep(session.patience.pause(failures, failure.pause))


class _Upload:
    """One blob on its way: `offset` counts the bytes that the registry has confirmed."""

    def __init__(self, session: Session, blob: BlobSource, told: Told) -> None:
        self.offset = 0
        self._session = session
        self._blob = blob
        self._told = told
        self._location: httpx.URL | None = None
        self._least = 0  # bytes of a chunk that the registry wants at least
        self._is_resumed = False

    async def go_on(self) -> Outcome:
        """Begin, or go on after a `PassingError`, until the blob is there. Raises as `Session.send`."""
        if self._location is not None and not await self._resumed():
            self._location = None
            if await has_blob(self._session, self._blob.digest):  # the answer was lost, not the blob
                return Outcome.SENT
        if self._location is None and await self._started():
            return Outcome.MOUNTED
        if self._blob.size > _SMALL:
            while self.offset < self._blob.size:
                await self._send_chunk()
        await self._commit()
        return Outcome.SENT

    async def _started(self) -> bool:
        """Ask for a location; True where that is not needed, as the blob was mounted."""
        self.offset = 0
        origin = self._blob.mount_from
        if origin is not None:
            query = f"blobs/uploads/?mount={self._blob.digest}&from={origin}"
            # A registry may refuse to mount in several ways; each means that the blob must be sent.
            refused = {400, 401, 403, 404, 405}
            async with self._session.send(Call("POST", query, _EMPTY, expected={201, 202, *refused})) as response:
                if response.status_code == 201:
                    return True
                if response.status_code == 202:
                    self._begin_at(response)
                    return False
        async with self._session.send(Call("POST", "blobs/uploads/", _EMPTY, expected={202})) as response:
            self._begin_at(response)
        return False

    def _begin_at(self, response: httpx.Response) -> None:
        self._location = self._session.location_of(response)
        least = response.headers.get("oci-chunk-min-length", "")
        self._least = int(least) if least.isdecimal() and len(least) < 12 else 0

    async def _resumed(self) -> bool:
        """Find out where to go on; False where the upload is lost."""
        assert self._location is not None
        call = Call("GET", self._location, expected={200, 202, 204, *_FORGOTTEN})
        async with self._session.send(call) as response:
            end = _end_of(response)
            # `0-0` may mean one byte or none.
            if response.status_code in _FORGOTTEN or end is None or not 1 < end <= self._blob.size:
                return False
            if "location" in response.headers:
                self._location = self._session.location_of(response)
            self.offset = end
            self._is_resumed = True
            return True

    async def _send_chunk(self) -> None:
        assert self._location is not None
        size = min(max(self._session.patience.chunk_bytes, self._least), self._blob.size - self.offset)
        headers = {
            "content-type": "application/octet-stream",
            "content-length": str(size),
            "content-range": f"{self.offset}-{self.offset + size - 1}",
        }
        expected = {*_UPLOADED, 404, 416}
        call = Call("PATCH", self._location, headers, self._blocks(size), expected, self._session.patience.commit_seconds)
        async with self._session.send(call) as response:
            end = _end_of(response)
            if response.status_code not in _UPLOADED or (end is not None and end != self.offset + size):
                raise self._broken()
            self._location = self._session.location_of(response)
            self.offset += size

    async def _commit(self) -> None:
        assert self._location is not None
        rest = self._blob.size - self.offset
        headers = {"content-type": "application/octet-stream", "content-length": str(rest)}
        if rest and self.offset:
            headers["content-range"] = f"{self.offset}-{self._blob.size - 1}"
        location = str(self._location)
        target = httpx.URL(f"{location}{'&' if '?' in location else '?'}digest={self._blob.digest}")
        body = self._blocks(rest) if rest else None
        # A wrong digest is final, but not where the two sides may have counted differently.
        passing = {400, 404, 416} if self._is_resumed else {404, 416}
        call = Call("PUT", target, headers, body, {*_UPLOADED, *passing}, self._session.patience.commit_seconds)
        async with self._session.send(call) as response:
            if response.status_code in passing:
                self._location, self._is_resumed = None, False
                raise self._broken()
            await read_limited(response, _MAX_ANSWER, self._session.patience)
        self._told(self._blob.size)

    def _blocks(self, size: int) -> Callable[[], AsyncIterator[bytes]]:
        """Return what makes the blocks of the next `size` bytes."""
        start = self.offset

        async def blocks() -> AsyncIterator[bytes]:
            sent = 0
            with self._blob.open_content() as content:
                content.seek(start)
                while sent < size:
                    self._told(start + sent)
                    block = content.read(min(_BLOCK, size - sent))
                    if not block:
                        raise self._too_short(start + sent)
                    yield block
                    sent += len(block)
            self._told(start + sent)

        return blocks

    def _broken(self) -> PassingError:
        return PassingError(RegistryError(f"{self._session.endpoint.host} lost the upload of {self._blob.digest}", "try again"))

    def _too_short(self, has: int) -> RlError:
        return CorruptImage(
            f"blob {self._blob.digest} has {has} bytes, but its descriptor says {self._blob.size}", "pull the image again"
        )


def _end_of(response: httpx.Response) -> int | None:
    """Return how many bytes a Range header (`0-LAST`, also after `bytes=`) confirms; None without a valid one."""
    first, _, last = response.headers.get("range", "").removeprefix("bytes=").partition("-")
    return int(last) + 1 if first == "0" and last.isdecimal() and len(last) < 16 else None
