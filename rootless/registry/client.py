"""Pulling by the OCI distribution spec: manifests whole, blobs as a stream that is resumed where it broke off."""

import json
import re
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, NamedTuple, Protocol

import httpx
import trio

from rootless.errors import CorruptImage, NoSuchObject, RegistryError
from rootless.registry.limited import read_limited
from rootless.registry.retry import PassingError, persistently
from rootless.registry.session import Call, Session

MAX_DOCUMENT: Final = 4 << 20  # distribution-spec, "Pushing Manifests": 4 MiB is what registries must take

_MAX_PAGES: Final = 1000
_MAX_LIST: Final = 64 << 20  # bytes that the names of all pages may take in memory
_NAME_COST: Final = 64  # bytes of a name beside its letters
_MAX_LINK: Final = 16 << 10
_NEXT: Final = re.compile(r'<([^>]*)>\s*;[^,]*\brel="?next"?', re.ASCII)
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)


class Document(NamedTuple):
    """A manifest as it came: its bytes, its media type, and the registry's word for its digest (or None)."""

    content: bytes
    media_type: str
    digest: str | None


class BlobSink(Protocol):
    """Where a blob's bytes go. `offset` counts those that are there, and where the download goes on."""

    offset: int

    def write(self, data: bytes) -> None:
        """Append bytes."""

    def restart(self) -> None:
        """Forget all bytes: the server cannot resume, or what was kept is wrong."""


async def fetch_manifest(session: Session, reference: str, accept: Iterable[str]) -> Document:
    """Return the manifest that a tag or digest names. Raises `NoSuchObject`, `RegistryError`."""

    async def once() -> Document:
        async with session.get(f"manifests/{reference}", {"accept": ", ".join(accept)}) as response:
            content = await read_limited(response, MAX_DOCUMENT, session.patience)
            header = response.headers.get("content-type", "").partition(";")[0].strip()
            return Document(content, _media_type(content, header), response.headers.get("docker-content-digest"))

    return await persistently(session.patience, once)


async def fetch_document(session: Session, digest: str, size: int) -> bytes:
    """Return a small blob (a config) whole; the caller checks its digest. Raises `NoSuchObject`, `RegistryError`."""

    async def once() -> bytes:
        async with session.get(f"blobs/{digest}", {}) as response:
            return await read_limited(response, size, session.patience)

    if size > MAX_DOCUMENT:
        raise CorruptImage(f"the config {digest} has {size} bytes, more than {MAX_DOCUMENT}")
    return await persistently(session.patience, once)


async def fetch_blob(session: Session, digest: str, size: int, sink: BlobSink) -> None:
    """Append to `sink` what it lacks of a blob of `size` bytes; the caller checks the digest.

    Goes on after a loss where the connection broke; gives up after `Patience.tries` tries without progress. Raises
    `CorruptImage` when more than `size` bytes come, `NoSuchObject`, `RegistryError`.
    """
    failures = 0
    furthest = sink.offset  # what a server lets us begin again and again is no progress
    while sink.offset < size:
        try:
            await _fetch_rest(session, digest, size, sink)
        except PassingError as failure:
            failures = 1 if sink.offset - furthest >= session.patience.stall_bytes else failures + 1
            furthest = max(furthest, sink.offset)
            if failures >= session.patience.tries:
                raise failure.error from failure
            await trio.sleep(session.patience.pause(failures, failure.pause))


async def _fetch_rest(session: Session, digest: str, size: int, sink: BlobSink) -> None:
    headers = {"range": f"bytes={sink.offset}-"} if sink.offset else {}
    async with session.get(f"blobs/{digest}", headers) as response:
        if response.status_code == 416 or (response.status_code == 206 and not _continues(response, sink.offset)):
            sink.restart()
            raise PassingError(RegistryError(f"{session.endpoint.host} cannot resume the download of {digest}"))
        if response.status_code == 200 and sink.offset:
            sink.restart()
        await _receive(session, response, digest, size, sink)
    if sink.offset < size:
        raise PassingError(RegistryError(f"{session.endpoint.host} sent {sink.offset} bytes of {size} for {digest}"))


async def _receive(session: Session, response: httpx.Response, digest: str, size: int, sink: BlobSink) -> None:
    patience = session.patience
    since, counted = trio.current_time(), sink.offset
    async for data in response.aiter_raw():
        if sink.offset + len(data) > size:
            raise CorruptImage(f"{session.endpoint.host} sends more than the {size} bytes of {digest}")
        sink.write(data)
        now = trio.current_time()
        if now - since > patience.stall_seconds:
            if sink.offset - counted < patience.stall_bytes:
                raise PassingError(RegistryError(f"{session.endpoint.host} is too slow", "try again later"))
            since, counted = now, sink.offset


async def fetch_tags(session: Session) -> list[str]:
    """Return all tags of a repository. Raises `NoSuchObject` for none, `RegistryError`."""
    tags = [tag async for page in pages(session, "tags/list?n=1000", "tags") for tag in page]
    if not tags:
        raise NoSuchObject(f"{session.endpoint} has no tags", "check the name")
    if invalid := next((tag for tag in tags if not _TAG.fullmatch(tag)), None):
        raise RegistryError(f"{session.endpoint} lists an invalid tag: {invalid!r:.100}")
    return list(dict.fromkeys(tags))


async def pages(session: Session, target: str, key: str) -> AsyncIterator[list[str]]:
    """Yield the names of each page of a list (distribution-spec, "Listing Tags"; `_catalog`), `key` is their field.

    The next page is the one that the Link header names (RFC 8288). Raises `NoSuchObject`, `RegistryError`.
    """
    following: str | httpx.URL | None = target
    cost = 0
    for _ in range(_MAX_PAGES):
        if following is None:
            return
        call = Call("GET", following, expected={200})

        async def once(call: Call = call) -> tuple[list[str], httpx.URL | None]:
            async with session.send(call) as response:
                content = await read_limited(response, MAX_DOCUMENT, session.patience)
                return _names(session, content, key), _next_page(session, response)

        names, following = await persistently(session.patience, once)
        cost += sum(len(name) + _NAME_COST for name in names)
        if cost > _MAX_LIST:
            raise RegistryError(f"{session.endpoint.host} lists more than {_MAX_LIST >> 20} MiB of {key}")
        yield names
    raise RegistryError(f"{session.endpoint.host} lists more than {_MAX_PAGES} pages")


def _names(session: Session, content: bytes, key: str) -> list[str]:
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RegistryError(f"{session.endpoint.host} sent a list that is not JSON") from error
    names = document.get(key) if isinstance(document, dict) else None
    if names is None and isinstance(document, dict):
        return []  # an empty list is null in some registries
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RegistryError(f"{session.endpoint.host} sent no list of {key}")
    return names


def _next_page(session: Session, response: httpx.Response) -> httpx.URL | None:
    """Return the link to the next page, which must be on the same server: it gets our log-in."""
    link = _NEXT.search(response.headers.get("link", "")[:_MAX_LINK])
    if link is None:
        return None
    asked = response.request.url
    url = asked.join(link[1])
    if (url.host, url.port) != (asked.host, asked.port):
        raise RegistryError(f"{session.endpoint.host} continues its list on another server, {url.host}")
    return asked.copy_with(raw_path=url.raw_path)


def _continues(response: httpx.Response, offset: int) -> bool:
    """Tell whether a 206 begins where it should (RFC 9110, section 14.4)."""
    unit, _, span = response.headers.get("content-range", "").partition(" ")
    return (unit.lower(), span.partition("-")[0]) == ("bytes", str(offset))


def _media_type(content: bytes, header: str) -> str:
    """Return a manifest's type: its own field where it has one, as the header is often generic."""
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CorruptImage(f"the manifest is not JSON: {error}") from error
    own = document.get("mediaType") if isinstance(document, dict) else None
    return own if isinstance(own, str) else header
