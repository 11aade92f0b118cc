"""The network part of image lists: fetching images that a list names from registries, and pushing a list.

Images are fetched whole but not unpacked, as most of them are for other machines. A list is pushed after all of its images, which
go by their digests: a registry takes an index only when it has what that names.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import trio

from rootless.errors import CorruptImage, NoSuchObject
from rootless.images import json_document, media_types, platform
from rootless.images.blobs import check_digest, write_blob
from rootless.images.download import PartialBlob
from rootless.images.layout import Descriptor, Layout
from rootless.images.manifest import Blob, blob_of, parse_manifest
from rootless.images.manifest_list import described
from rootless.images.progress import NoProgress
from rootless.images.push import Outgoing, PushJob
from rootless.images.push_image import push_images
from rootless.images.reference import Reference
from rootless.locations import Locations
from rootless.registry.access import AS_FILES_SAY, Access
from rootless.registry.client import Document, fetch_blob, fetch_document, fetch_manifest
from rootless.registry.connections import Connections
from rootless.registry.parallel import first_of
from rootless.registry.retry import Patience
from rootless.registry.session import Session, push_scopes
from rootless.registry.upload import put_manifest

T = TypeVar("T")

_ACCEPT: Final = (media_types.OCI_INDEX, media_types.DOCKER_LIST, media_types.OCI_MANIFEST, media_types.DOCKER_MANIFEST)
_LOOK_AGAIN: Final = 0.1  # seconds between looks whether another process has finished a blob


class Source:
    """Images in a registry, by their names; `environ` is for proxies and credentials."""

    def __init__(
        self, locations: Locations, environ: Mapping[str, str], *, access: Access = AS_FILES_SAY, etc: str = "/etc"
    ) -> None:
        self._layout = Layout(locations)
        self._access = access
        self._environ = environ
        self._etc = etc

    def manifest(self, wanted: Reference) -> Document:
        """Return the manifest or index that a name stands for. Raises `NoSuchObject`, `RegistryError`."""
        return _run(self._manifest, wanted)

    def fetch(self, wanted: Reference, *, everything: bool) -> list[Descriptor]:
        """Bring an image's blobs into the store, of an index this machine's or all; return the descriptors for a list."""
        return _run(self._fetch, wanted, everything)

    async def _manifest(self, wanted: Reference) -> Document:
        async with Connections(self._environ, Patience(), self._etc) as connections:
            return await _checked_manifest(self._session(connections, wanted), wanted)

    async def _fetch(self, wanted: Reference, everything: bool) -> list[Descriptor]:
        async with Connections(self._environ, Patience(), self._etc) as connections:
            session = self._session(connections, wanted)
            document = await _checked_manifest(session, wanted)
            if document.media_type not in media_types.INDEXES:
                return [await self._instance(session, document, {})]
            index = _json(document.content)
            listed = index.get("manifests") or []
            if not isinstance(listed, list):
                raise CorruptImage("the image index has no list of manifests")
            if not everything:
                digest = platform.choose(index, platform.of_machine()).digest
                listed = [one for one in listed if one.get("digest") == digest]
            listed = [one for one in listed if not _is_attestation(one)]
            found = []
            for one in listed:
                blob = blob_of(one, f"a manifest of {wanted.name}")
                inner = await fetch_manifest(session, blob.digest, _ACCEPT)
                check_digest(inner.content, blob.digest)
                found.append(await self._instance(session, inner, one))
            return found

    async def _instance(self, session: Session, document: Document, listed: Descriptor) -> Descriptor:
        """Fetch config and layers of one manifest; `listed` is how an index describes it, if one does."""
        manifest = parse_manifest(_json(document.content))
        config = await fetch_document(session, manifest.config.digest, manifest.config.size)
        check_digest(config, manifest.config.digest)
        write_blob(self._layout, config, manifest.config.digest)
        for layer in manifest.layers:
            await self._blob(session, layer)
        digest = write_blob(self._layout, document.content)
        entry = described(document.media_type, digest, len(document.content), _json(config))
        return {**entry, **{key: listed[key] for key in ("platform", "annotations") if key in listed}}

    async def _blob(self, session: Session, blob: Blob) -> None:
        while not self._layout.has_blob(blob.digest, blob.size):
            sink = PartialBlob.try_open(self._layout, blob.digest, lambda _offset: None)
            if sink is None:
                await trio.sleep(_LOOK_AGAIN)
                continue
            with sink:
                await trio.to_thread.run_sync(sink.load, blob.size)
                await fetch_blob(session, blob.digest, blob.size, sink)
                if not sink.is_right():
                    error = sink.wrong(session.endpoint.host)
                    sink.discard()
                    raise error
                await trio.to_thread.run_sync(sink.commit)

    def _session(self, connections: Connections, wanted: Reference) -> Session:
        endpoint = self._access.registries(self._environ, self._etc).registry_of(wanted.repository)
        return Session(connections, endpoint, self._access.login_for(endpoint, self._environ))


async def _checked_manifest(session: Session, wanted: Reference) -> Document:
    """Return the manifest that a name stands for; where the name has a digest, the one with that."""
    document = await fetch_manifest(session, wanted.digest or str(wanted.tag), _ACCEPT)
    if wanted.digest is not None:
        check_digest(document.content, wanted.digest)
    return document


def push_list(
    locations: Locations,
    target: Reference,
    content: bytes,
    environ: Mapping[str, str],
    *,
    everything: bool,
    access: Access = AS_FILES_SAY,
    etc: str = "/etc",
) -> str:
    """Push a list with its images, or without `everything` only the list, whose images must be there; return its digest."""
    endpoint = access.registries(environ, etc).registry_of(target.repository)
    job = PushJob(locations, endpoint, environ, etc, NoProgress(), None, access)
    layout = Layout(locations)
    if everything:
        push_images(job, [_outgoing(layout, one) for one in _json(content)["manifests"]])

    async def put() -> str:
        found = access.login_for(endpoint, environ)
        async with Connections(environ, Patience(), etc) as connections:
            session = Session(connections, endpoint, found, scopes=push_scopes(endpoint.path))
            return await put_manifest(session, str(target.tag), content, media_types.OCI_INDEX)

    return _run(put)


def _outgoing(layout: Layout, instance: Descriptor) -> Outgoing:
    digest = str(instance["digest"])
    try:
        with open(layout.blob_path(digest), "rb") as blob:
            content = blob.read()
    except FileNotFoundError:
        raise NoSuchObject(f"the list's image {digest} is not in the store", "add it to the list again") from None
    manifest = parse_manifest(_json(content))
    return Outgoing(digest, content, str(instance["mediaType"]), (manifest.config, *manifest.layers), {})


def _json(content: bytes) -> dict[str, Any]:
    return json_document.parse(content, "a manifest or config")


def _is_attestation(listed: Any) -> bool:
    """Tell whether an index's entry is what BuildKit says about an image: its layers are statements, no file systems."""
    platform_of = listed.get("platform") if isinstance(listed, dict) else None
    return isinstance(platform_of, dict) and (platform_of.get("os"), platform_of.get("architecture")) == ("unknown", "unknown")


def _run(function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    try:
        return trio.run(function, *arguments)
    except BaseExceptionGroup as group:
        raise first_of(group) from group
