"""The network part of a pull: finds the manifest, downloads what the store lacks in parallel, has layers unpacked meanwhile.

Theory of operation. The endpoints are the mirrors, then the registry itself. The manifest comes from the first that has it;
each blob is asked of that one first and then of the others, going on at the byte where the one before failed. A task a layer:

    waiting -> downloading (at most `_AT_ONCE`) -> fsync and rename -> extracting (one at a time, in the worker)

When all are extracted the worker places the stack. The index is not touched here: `pull` adds the image when all is there.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import trio

from rootless.errors import CorruptImage, NoSuchObject, RegistryError, RlError
from rootless.images import json_document, layers, media_types, platform
from rootless.images.blobs import check_digest, write_blob
from rootless.images.download import PartialBlob
from rootless.images.layout import Layout
from rootless.images.manifest import Blob, Manifest, as_oci, chain_ids, diff_ids_of, parse_manifest
from rootless.images.progress import Phase
from rootless.images.pull import PullJob
from rootless.images.reference import Reference, is_digest
from rootless.images.store import NewImage
from rootless.images.trust import policy as trust_policy
from rootless.images.trust.enforcement import enforce
from rootless.images.unpack_service import UnpackService, progress_in, request, unwrap
from rootless.registry.client import Document, fetch_blob, fetch_document, fetch_manifest, fetch_tags
from rootless.registry.connections import Connections
from rootless.registry.parallel import first_of
from rootless.registry.retry import Patience
from rootless.registry.session import Session

T = TypeVar("T")

Add = Callable[[Reference, NewImage], bool]

_AT_ONCE: Final = 4
_MIRROR_TRIES: Final = 2
# Tags of what lies beside an image: signatures and attestations of cosign; referrers (distribution-spec, "Referrers Tag Schema").
_BESIDE: Final = re.compile(r"sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{64,})(?:\.[a-z]+)?", re.ASCII)
_LOOK_AGAIN: Final = 0.1  # seconds between looks whether another process has finished a blob
_ACCEPT: Final = (
    media_types.OCI_MANIFEST,
    media_types.OCI_INDEX,
    media_types.DOCKER_MANIFEST,
    media_types.DOCKER_LIST,
)


class _Found(NamedTuple):
    """An image's manifest in a registry: `sources` are digest and bytes of what the name stands for there, and of the manifest."""

    session: Session
    content: bytes
    media_type: str
    manifest: Manifest
    sources: dict[str, bytes]


def fetch_images(job: PullJob, wanted: Reference, service: UnpackService, add: Add, *, all_tags: bool) -> bool:
    """Bring all blobs and unpacked layers of an image, or of all tags of its repository, into the store.

    `add` gets each image as it is complete, and tells whether all of it is still there; at False the rest is left, and False
    returned. Raises as `pull.pull` says.
    """
    try:
        return trio.run(_fetch_images, job, wanted, service, add, all_tags)
    except BaseExceptionGroup as group:
        raise first_of(group) from group


async def _fetch_images(job: PullJob, wanted: Reference, service: UnpackService, add: Add, all_tags: bool) -> bool:
    requests, replies = trio.lowlevel.FdStream(service.requests), trio.lowlevel.FdStream(service.replies)
    async with requests, replies, Connections(job.environ, job.patience or Patience(), job.etc) as connections:
        sessions = _sessions(job, wanted, connections)
        worker = _Worker(requests, replies)
        references = [wanted]
        if all_tags:
            tags = await _from_any(sessions, fetch_tags)
            references = [wanted._replace(tag=tag, digest=None) for tag in tags if not _BESIDE.fullmatch(tag)]
        for reference in references:
            if not add(reference, await _fetch(job, reference, sessions, worker)):
                return False
    return True


async def _fetch(job: PullJob, wanted: Reference, sessions: list[Session], worker: "_Worker") -> NewImage:
    job.progress.message(f"{wanted.digest or wanted.tag}: Pulling from {wanted.path}")
    found = await _from_any(sessions, lambda session: _locate(job, session, wanted))
    # The one that has the image first, the others after it.
    ordered = sorted(sessions, key=lambda session: session is not found.session)
    await enforce(trust_policy.load(job.environ, job.etc), wanted, list(found.sources), ordered)
    return await _Fetch(job, found, ordered, worker).run()


def _sessions(job: PullJob, wanted: Reference, connections: Connections) -> list[Session]:
    """Return the mirrors, then the registry; a mirror is given up sooner, as another place has the same."""
    *mirrors, registry = job.registries.endpoints(wanted.repository, wanted.tag, wanted.digest)
    patience = connections.patience
    hasty = patience._replace(tries=min(patience.tries, _MIRROR_TRIES))
    found = [job.access.login_for(mirror, job.environ, is_mirror=True) for mirror in mirrors]
    return [
        *(Session(connections, mirror, login, patience=hasty) for mirror, login in zip(mirrors, found, strict=True)),
        Session(connections, registry, job.access.login_for(registry, job.environ)),
    ]


class _Worker:
    """Talks with the unpacking worker, one request at a time."""

    def __init__(self, requests: trio.lowlevel.FdStream, replies: trio.lowlevel.FdStream) -> None:
        self._requests = requests
        self._replies = replies
        self._pending = b""
        self._lock = trio.Lock()

    async def ask(self, line: bytes, told: Callable[[int], None] = lambda _offset: None) -> Any:
        """Return the reply to a request; `told` is called with 0 when it begins, and with what the worker says meanwhile."""
        async with self._lock:
            told(0)
            try:
                await self._requests.send_all(line)
                while (offset := progress_in(reply := await self._line())) is not None:
                    told(offset)
            except trio.BrokenResourceError:
                reply = b""
            return unwrap(reply)

    async def _line(self) -> bytes:
        """Return the worker's next line. Raises `trio.BrokenResourceError` when it has ended."""
        while b"\n" not in self._pending:
            part = await self._replies.receive_some()
            if not part:
                raise trio.BrokenResourceError
            self._pending += part
        line, _, self._pending = self._pending.partition(b"\n")
        return line + b"\n"


class _Fetch:
    """The download of one image whose manifest is known."""

    def __init__(self, job: PullJob, found: _Found, sessions: Sequence[Session], worker: _Worker) -> None:
        self._job = job
        self._found = found
        self._sessions = sessions
        self._worker = worker
        self._layout = Layout(job.locations)
        self._limit = trio.CapacityLimiter(_AT_ONCE)

    async def run(self) -> NewImage:
        manifest = self._found.manifest
        config = await self._config(manifest.config)
        diff_ids = diff_ids_of(config, len(manifest.layers))
        self._check_platform(config)
        keys, size = await self._layers(diff_ids)
        content, blob = as_oci(self._found.content, self._found.media_type)
        for digest, document in {**self._found.sources, blob.digest: content}.items():
            write_blob(self._layout, document, digest)
        return NewImage(
            id=manifest.config.digest,
            manifest=blob,
            blobs=(blob.digest, manifest.config.digest, *(layer.digest for layer in manifest.layers)),
            layer_keys=tuple(keys),
            size=size,
            source_digest=next(iter(self._found.sources)),
        )

    async def _config(self, blob: Blob) -> dict[str, Any]:
        async def get(session: Session) -> bytes:
            content = await fetch_document(session, blob.digest, blob.size)
            _check(content, blob)
            return content

        while not self._layout.has_blob(blob.digest, blob.size):
            sink = PartialBlob.try_open(self._layout, blob.digest, lambda _offset: None)
            if sink is None:
                await trio.sleep(_LOOK_AGAIN)
                continue
            with sink:
                try:
                    content = await _from_any(self._sessions, get)
                    json_document.parse(content, "the config")
                except RlError:
                    sink.discard()
                    raise
                sink.restart()
                sink.write(content)
                sink.commit()
        return self._layout.read_document(blob.digest)

    def _check_platform(self, config: dict[str, Any]) -> None:
        has = platform.Platform(str(config.get("os", "")), str(config.get("architecture", "")))
        wanted = self._job.asked or platform.of_machine()
        if has[:2] == wanted[:2]:
            return
        text = f"the image is for {has}, not for {wanted}"
        if self._job.asked is not None:
            raise NoSuchObject(text, "the repository has it for one platform only")
        self._job.progress.warning(text)

    async def _layers(self, diff_ids: tuple[str, ...]) -> tuple[list[str], int]:
        blobs = dict(zip(diff_ids, self._found.manifest.layers, strict=True))
        ids = dict(zip(diff_ids, chain_ids(diff_ids), strict=True))
        for blob in blobs.values():
            if not self._layout.has_blob(blob.digest):
                self._job.progress.layer(blob.digest, Phase.WAITING, 0, blob.size)
        # Two blobs may be one layer, compressed otherwise: both belong to the image, but one is enough to unpack.
        others = [blob for blob in self._found.manifest.layers if blob not in blobs.values()]
        async with trio.open_nursery() as nursery:
            for diff_id, blob in blobs.items():
                nursery.start_soon(self._layer, blob, diff_id, ids[diff_id])
            for blob in dict.fromkeys(others):
                nursery.start_soon(self._download_only, blob)
        paths = {diff_id: self._layout.blob_path(blob.digest) for diff_id, blob in blobs.items()}
        keys, size = await self._worker.ask(request("place", paths, diff_ids))
        return keys, size

    async def _layer(self, blob: Blob, diff_id: str, chain_id: str) -> None:
        progress = self._job.progress
        async with self._limit:
            came = await self._download(blob)
        if any(layers.is_unpacked(self._job.locations, key) for key in (diff_id, chain_id)):
            progress.layer(blob.digest, Phase.COMPLETE if came else Phase.EXISTS, blob.size, blob.size)
            return
        progress.layer(blob.digest, Phase.DOWNLOADED, blob.size, blob.size)

        def told(offset: int) -> None:
            progress.layer(blob.digest, Phase.EXTRACTING, offset, blob.size)

        for text in await self._worker.ask(request("extract", self._layout.blob_path(blob.digest), diff_id, True), told):
            progress.warning(text)
        progress.layer(blob.digest, Phase.COMPLETE, blob.size, blob.size)

    async def _download_only(self, blob: Blob) -> None:
        async with self._limit:
            came = await self._download(blob)
        self._job.progress.layer(blob.digest, Phase.COMPLETE if came else Phase.EXISTS, blob.size, blob.size)

    async def _download(self, blob: Blob) -> bool:
        """Bring a blob into the store; False where it is there already."""

        def arrived(offset: int) -> None:
            self._job.progress.layer(blob.digest, Phase.DOWNLOADING, offset, blob.size)

        while not self._layout.has_blob(blob.digest, blob.size):
            if self._layout.has_blob(blob.digest):
                raise CorruptImage(f"the manifest says that {blob.digest} has {blob.size} bytes, which is wrong")
            sink = PartialBlob.try_open(self._layout, blob.digest, arrived)
            if sink is None:
                await trio.sleep(_LOOK_AGAIN)
                continue
            with sink:
                await trio.to_thread.run_sync(sink.load, blob.size)
                await self._fill(blob, sink)
                self._job.progress.layer(blob.digest, Phase.VERIFYING, blob.size, blob.size)
                await trio.to_thread.run_sync(sink.commit)
            return True
        return False

    async def _fill(self, blob: Blob, sink: PartialBlob) -> None:
        """Fill a partial blob with the right bytes, from any endpoint; what was kept and is wrong costs one more try."""

        async def get(session: Session) -> None:
            resumed = sink.offset > 0
            await fetch_blob(session, blob.digest, blob.size, sink)
            if resumed and not sink.is_right():
                sink.restart()
                await fetch_blob(session, blob.digest, blob.size, sink)
            if not sink.is_right():
                error = sink.wrong(session.endpoint.host)
                sink.restart()
                raise error

        try:
            await _from_any(self._sessions, get)
        except CorruptImage:
            sink.discard()  # worth nothing: nobody has sent the right bytes
            raise


async def _locate(job: PullJob, session: Session, wanted: Reference) -> _Found:
    """Get the manifest from one endpoint, through an index where there is one."""
    document = await fetch_manifest(session, wanted.digest or str(wanted.tag), _ACCEPT)
    sources = {_digest_of(document, wanted.digest): document.content}
    if document.media_type in media_types.INDEXES:
        index = json_document.parse(document.content, "the image index")
        chosen = platform.choose(index, job.asked or platform.of_machine())
        document = await fetch_manifest(session, chosen.digest, _ACCEPT)
        _check(document.content, chosen)
        sources[chosen.digest] = document.content
    manifest = parse_manifest(json_document.parse(document.content, "the manifest"))
    if document.media_type not in media_types.MANIFESTS:
        raise CorruptImage(f"{wanted.name} is of the type {document.media_type!r:.100}, which is not an image's manifest")
    return _Found(session, document.content, document.media_type, manifest, sources)


async def _from_any(sessions: Sequence[Session], get: Callable[[Session], Awaitable[T]]) -> T:
    """Return what the first endpoint gives; where none does, raise the error of the last, which is the registry itself."""
    failures: list[RlError] = []
    for session in sessions:
        try:
            return await get(session)
        except (RegistryError, NoSuchObject, CorruptImage) as error:
            failures.append(error)
    final = failures[-1]
    if len(failures) > 1:
        mirrors = "; ".join(failure.message for failure in failures[:-1])
        raise type(final)(f"{final.message} (before: {mirrors})", final.hint)
    raise final


def _digest_of(document: Document, wanted: str | None) -> str:
    """Return a manifest's digest, checked against the one in the name, or else against what the registry says it is."""
    if wanted is not None:
        check_digest(document.content, wanted)
        return wanted
    claimed = document.digest
    if claimed is not None and is_digest(claimed):
        check_digest(document.content, claimed)
        return claimed
    return f"sha256:{hashlib.sha256(document.content).hexdigest()}"


def _check(content: bytes, blob: Blob) -> None:
    if len(content) != blob.size:
        raise CorruptImage(f"{blob.digest} has {len(content)} bytes, but its descriptor says {blob.size}")
    check_digest(content, blob.digest)
