"""Pushing an image of the store: which manifest goes where, and which repositories already have its layers.

The manifest is, byte for byte, the one with which the image came where that still describes the same blobs: an image that came in
Docker's form has the OCI's in the store (see `manifest.as_oci`), but leaves with the digest that everybody knows it by.

This file is what happens before and after the network; `push_image` has trio and httpx, which cost 0.3 s to import.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from rootless.errors import InvalidInput, NoSuchObject
from rootless.images import media_types, reference
from rootless.images.layout import REF_NAME, SOURCE_DIGEST, Descriptor, Layout, annotation
from rootless.images.manifest import Blob, as_oci, parse_manifest
from rootless.images.progress import NoProgress, Progress
from rootless.images.reference import Reference
from rootless.images.store import Image, ImageStore, no_such_image, sources_of
from rootless.locations import Locations
from rootless.registry.access import AS_FILES_SAY, Access

if TYPE_CHECKING:
    from rootless.registry.configuration import Endpoint, Registries
    from rootless.registry.retry import Patience

_TRANSPORT = "docker://"


class PushJob(NamedTuple):
    """What stays the same through one push: where to, with which settings."""

    locations: Locations
    endpoint: "Endpoint"
    environ: Mapping[str, str]
    etc: str
    progress: Progress
    patience: "Patience | None"
    access: Access


class Outgoing(NamedTuple):
    """One image to push under `reference` (a tag or digest): its manifest's bytes and blobs, and who has them there.

    `origins` maps a blob's digest to the path of a repository on the same registry.
    """

    reference: str
    content: bytes
    media_type: str
    blobs: tuple[Blob, ...]
    origins: Mapping[str, str]


def push(
    locations: Locations,
    name: str,
    destination: str | None = None,
    *,
    environ: Mapping[str, str],
    progress: Progress | None = None,
    patience: "Patience | None" = None,
    access: Access = AS_FILES_SAY,
    etc: str = "/etc",
) -> str:
    """Push an image of the store to a registry, as `destination` or else by its own name; return its digest there.

    `name` may be an ID where there is a destination. Raises `NoSuchObject`, `InvalidInput`, `RegistryError`, `CorruptImage`.
    """
    store = ImageStore(locations)
    descriptors = store.layout.descriptors()
    source = store.find_descriptor(descriptors, name)
    if source is None:
        raise no_such_image(name)
    target = _target(name, source, destination)
    job = _job(locations, target, environ, progress, patience, access, etc)
    return _push(job, store, descriptors, [(source, target)])[0]


def push_all_tags(
    locations: Locations,
    repository: str,
    *,
    environ: Mapping[str, str],
    progress: Progress | None = None,
    patience: "Patience | None" = None,
    access: Access = AS_FILES_SAY,
    etc: str = "/etc",
) -> dict[str, str]:
    """Push all tags that the store has of a repository; return their digests by whole name. Errors as `push`."""
    if reference.has_tag(repository) or "@" in repository:
        raise InvalidInput("tag can't be used with --all-tags/-a", "give the repository only")
    wanted = reference.parse(repository).repository
    store = ImageStore(locations)
    descriptors = store.layout.descriptors()
    chosen = [(one, reference.parse(noted)) for one in descriptors if (noted := annotation(one, REF_NAME)) and "@" not in noted]
    chosen = [(source, target) for source, target in chosen if target.repository == wanted]
    if not chosen:
        raise NoSuchObject(f"an image does not exist locally with the name: {repository}", "`rl images` lists what there is")
    job = _job(locations, chosen[0][1], environ, progress, patience, access, etc)
    digests = _push(job, store, descriptors, chosen)
    return {target.name: digest for (_, target), digest in zip(chosen, digests, strict=True)}


def _target(name: str, source: Descriptor, destination: str | None) -> Reference:
    """Return where an image goes: its own name where no other is given."""
    own = annotation(source, REF_NAME)
    if destination is None:
        by_id = reference.may_be_id(name) and not (own and reference.split_name(own)[0].endswith(f"/{name}"))
        if own is None or by_id:
            raise InvalidInput(f"cannot push {name}: it names no repository", "give a destination: rl push ID REGISTRY/NAME")
        return reference.parse(own)
    return reference.parse(destination.removeprefix(_TRANSPORT))


def _job(
    locations: Locations,
    target: Reference,
    environ: Mapping[str, str],
    progress: Progress | None,
    patience: "Patience | None",
    access: Access,
    etc: str,
) -> PushJob:
    endpoint = access.registries(environ, etc).registry_of(target.repository)
    return PushJob(locations, endpoint, environ, etc, progress or NoProgress(), patience, access)


def _push(
    job: PushJob, store: ImageStore, descriptors: list[Descriptor], chosen: list[tuple[Descriptor, Reference]]
) -> list[str]:
    from rootless.images.push_image import push_images  # trio and httpx, 0.3 s

    registries = job.access.registries(job.environ, job.etc)
    outgoing = [_outgoing(job, store, descriptors, registries, source, target) for source, target in chosen]
    job.progress.message(f"The push refers to repository [{chosen[0][1].repository}]")
    digests = push_images(job, outgoing)
    for (_, target), digest in zip(chosen, digests, strict=True):
        _note_digest(store.layout, target.name, digest)
        store.note("push", target.name, target.name)
    return digests


def _outgoing(
    job: PushJob,
    store: ImageStore,
    descriptors: list[Descriptor],
    registries: "Registries",
    source: Descriptor,
    target: Reference,
) -> Outgoing:
    image = store.image_of(source)
    content, media_type = _manifest_of(store, descriptors, image)
    if target.digest not in {None, _digest_of(content)}:
        raise InvalidInput(f"cannot push {target.name}: the image's manifest is {_digest_of(content)}", "give NAME[:TAG]")
    manifest = parse_manifest(image.manifest)
    digests = {layer.digest for layer in manifest.layers}
    origins = _origins(store, descriptors, registries, job.endpoint, digests)
    return Outgoing(target.digest or str(target.tag), content, media_type, (manifest.config, *manifest.layers), origins)


def _manifest_of(store: ImageStore, descriptors: list[Descriptor], image: Image) -> tuple[bytes, str]:
    """Return bytes and media type of the manifest with which an image came, or else of the store's."""
    for digest in _sources(store, descriptors, image.id):
        content = _read(store.layout, digest)
        document = store.layout.read_document(digest)
        is_docker_s = document.get("mediaType") == media_types.DOCKER_MANIFEST
        if is_docker_s and as_oci(content, media_types.DOCKER_MANIFEST)[1].digest == image.manifest_digest:
            return content, media_types.DOCKER_MANIFEST
    media_type = image.manifest.get("mediaType") or media_types.OCI_MANIFEST
    return _read(store.layout, image.manifest_digest), media_type


def _sources(store: ImageStore, descriptors: list[Descriptor], image_id: str) -> Iterator[str]:
    """Yield the digests of manifests that registries gave for an image, also of those in an index, as far as they are kept."""
    for digest in sources_of(one for one in descriptors if store.image_id(one) == image_id):
        if not reference.is_digest(digest) or not store.layout.has_blob(digest):
            continue
        yield digest
        for listed in store.layout.read_document(digest).get("manifests") or []:
            inner = listed.get("digest") if isinstance(listed, dict) else None
            if isinstance(inner, str) and reference.is_digest(inner) and store.layout.has_blob(inner):
                yield inner


def _origins(
    store: ImageStore, descriptors: list[Descriptor], registries: "Registries", endpoint: "Endpoint", digests: set[str]
) -> dict[str, str]:
    """Return which other repositories of a registry have blobs: those from which, or to which, images with them came."""
    origins: dict[str, str] = {}
    for descriptor in descriptors:
        name = annotation(descriptor, REF_NAME)
        if name is None or annotation(descriptor, SOURCE_DIGEST) is None or digests <= origins.keys():
            continue
        origin = registries.registry_of(reference.split_name(name)[0])
        if origin.host == endpoint.host and origin.path != endpoint.path:
            layers = parse_manifest(store.image_of(descriptor).manifest).layers
            origins.update((layer.digest, origin.path) for layer in layers if layer.digest in digests)
    return origins


def _note_digest(layout: Layout, name: str, digest: str) -> None:
    """Remember that a registry has `name` (a whole one, where the store has it) under a digest, as after a pull."""
    with layout.locked():
        descriptors = layout.descriptors()
        for number, descriptor in enumerate(descriptors):
            if annotation(descriptor, REF_NAME) == name and layout.has_blob(digest):
                annotations = {**descriptor["annotations"], SOURCE_DIGEST: digest}
                descriptors[number] = {**descriptor, "annotations": annotations}
                layout.replace_descriptors(descriptors)


def _digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _read(layout: Layout, digest: str) -> bytes:
    with open(layout.blob_path(digest), "rb") as blob:
        return blob.read()
