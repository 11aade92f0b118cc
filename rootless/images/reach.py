"""What images reach: blobs and unpacked layers. All else in the store is garbage."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rootless.errors import CorruptImage
from rootless.images import layers, media_types
from rootless.images.layout import Descriptor
from rootless.images.manifest import chain_ids, diff_ids_of, parse_manifest
from rootless.images.reference import is_digest
from rootless.images.store import ImageStore, sources_of


class Reach(NamedTuple):
    """Digests of blobs, and keys of unpacked layers."""

    blobs: set[str]
    layer_keys: set[str]


def reach_of(store: ImageStore, descriptors: Iterable[Descriptor]) -> Reach:
    """Return all that entries of the index reach; of an image list also those of its images that are here.

    What cannot be read reaches nothing, so that a broken image can be removed.
    """
    reach = Reach(set(), set())
    for descriptor in descriptors:
        pending = [str(descriptor.get("digest")), *sources_of([descriptor])]
        while pending:
            digest = pending.pop()
            if is_digest(digest) and digest not in reach.blobs:
                reach.blobs.add(digest)
                pending += _of_document(store, digest, reach)
    return reach


def configs_of(store: ImageStore, descriptor: Descriptor) -> Iterator[str]:
    """Yield the IDs of the images that an entry stands for: of an image list those that are here."""
    digest = str(descriptor.get("digest"))
    if descriptor.get("mediaType") not in media_types.INDEXES:
        yield store.image_id(descriptor)
        return
    document = _read(store, digest)
    for listed in _listed(document):
        config = _read(store, listed).get("config")
        if isinstance(config, dict):
            yield str(config.get("digest"))


def _of_document(store: ImageStore, digest: str, reach: Reach) -> list[str]:
    """Add what a manifest reaches; return the manifests that an index lists and that are here."""
    document = _read(store, digest)
    if "manifests" in document:
        return _listed(document)
    try:
        manifest = parse_manifest(document)
        reach.blobs.update([manifest.config.digest, *(layer.digest for layer in manifest.layers)])
        diff_ids = diff_ids_of(store.layout.read_document(manifest.config.digest), len(manifest.layers))
    except CorruptImage:
        return []
    # Either may be what this stack uses; which one cannot change while the other is there.
    reach.layer_keys.update(layers.keys_of(store.locations, diff_ids), chain_ids(diff_ids))
    return []


def _read(store: ImageStore, digest: str) -> dict[str, Any]:
    try:
        return store.layout.read_document(digest)
    except CorruptImage:
        return {}


def _listed(document: dict[str, Any]) -> list[str]:
    manifests = document.get("manifests")
    if not isinstance(manifests, list):
        return []
    return [str(one["digest"]) for one in manifests if isinstance(one, dict) and is_digest(str(one.get("digest")))]
