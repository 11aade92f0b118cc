"""Following every reference of the store: index to manifests, manifests to configs and layers, with sizes (`rl system check`)."""

from typing import Any, NamedTuple

from rootless.errors import CorruptImage
from rootless.images import layers, media_types
from rootless.images.layout import IMAGE_ID, REF_NAME, Descriptor, annotation
from rootless.images.manifest import Blob, Manifest, blob_of, diff_ids_of, parse_manifest
from rootless.images.store import ImageStore


class ImageParts(NamedTuple):
    """An image that can be read under one of its names: the documents that make it an image, and its layers."""

    name: str
    image_id: str
    manifest: dict[str, Any]
    config: dict[str, Any]
    documents: tuple[str, ...]  # digests of manifest and config
    layer_blobs: tuple[str, ...]
    layer_keys: tuple[str, ...]


class Broken(NamedTuple):
    """An entry of the index whose manifest or config is missing or malformed, and why."""

    descriptor: Descriptor
    name: str
    text: str


class References(NamedTuple):
    """Images that can be read, entries that cannot, and (image's name, digest, text) of layers' blobs that are missing or wrong."""

    images: list[ImageParts]
    broken: list[Broken]
    missing: list[tuple[str, str, str]]


def check_references(store: ImageStore) -> References:
    """Follow all references; the caller holds the store's lock. Raises `CorruptImage` where the index itself is malformed."""
    found = References([], [], [])
    for descriptor in store.layout.descriptors():
        name = name_of(descriptor)
        try:
            for blob in _manifests(store, descriptor):
                parts, absent = _parts(store, name, blob)
                found.images.append(parts)
                found.missing.extend((name, digest, text) for digest, text in absent)
        except CorruptImage as error:
            found.broken.append(Broken(descriptor, name, error.message))
    return found


def name_of(descriptor: Descriptor) -> str:
    """Return the name of an entry, or the image's ID where it has none."""
    return annotation(descriptor, REF_NAME) or annotation(descriptor, IMAGE_ID) or str(descriptor.get("digest"))


def _manifests(store: ImageStore, descriptor: Descriptor) -> list[Blob]:
    """Return the image manifests that an entry stands for: of an index those that are here."""
    blob = blob_of(descriptor, "the index's entry")
    _check_size(store, blob, "the manifest")
    if blob.media_type not in media_types.INDEXES:
        return [blob]
    listed = store.layout.read_document(blob.digest).get("manifests")
    if not isinstance(listed, list):
        raise CorruptImage(f"the image index {blob.digest} has no list of manifests")
    manifests = [blob_of(one, "the image index's entry") for one in listed]
    return [one for one in manifests if store.layout.has_blob(one.digest)]


def _parts(store: ImageStore, name: str, blob: Blob) -> tuple[ImageParts, list[tuple[str, str]]]:
    _check_size(store, blob, "the manifest")
    document = store.layout.read_document(blob.digest)
    manifest: Manifest = parse_manifest(document)
    _check_size(store, manifest.config, "the config")
    config = store.layout.read_document(manifest.config.digest)
    diff_ids = diff_ids_of(config, len(manifest.layers))
    absent = []
    for layer in manifest.layers:
        try:
            _check_size(store, layer, "the layer")
        except CorruptImage as error:
            absent.append((layer.digest, error.message))
    parts = ImageParts(
        name=name,
        image_id=manifest.config.digest,
        manifest=document,
        config=config,
        documents=(blob.digest, manifest.config.digest),
        layer_blobs=tuple(layer.digest for layer in manifest.layers),
        layer_keys=layers.keys_of(store.locations, diff_ids),
    )
    return parts, absent


def _check_size(store: ImageStore, blob: Blob, what: str) -> None:
    if not store.layout.has_blob(blob.digest):
        raise CorruptImage(f"{what} {blob.digest} is missing")
    if not store.layout.has_blob(blob.digest, blob.size):
        raise CorruptImage(f"{what} {blob.digest} has not the {blob.size} bytes that are said of it")
