"""What manifests and configs must have, checked, with the offending field named (image-spec manifest.md, config.md)."""

import json
from typing import Any, Final, NamedTuple

from rootless.errors import CorruptImage
from rootless.images import media_types
from rootless.images.reference import is_digest

MAX_LAYERS: Final = 1024  # overlayfs itself stops at 500 (OVL_MAX_STACK)


class Blob(NamedTuple):
    """What a descriptor names: digest (`sha256:HEX`), size in bytes, media type."""

    digest: str
    size: int
    media_type: str


class Manifest(NamedTuple):
    """An image manifest's config and its layers, bottom first."""

    config: Blob
    layers: tuple[Blob, ...]


def blob_of(descriptor: Any, where: str) -> Blob:
    """Check a descriptor and return what it names; `where` is for the error."""
    if not isinstance(descriptor, dict):
        raise CorruptImage(f"{where} is not a descriptor")
    digest, size, media_type = (descriptor.get(key) for key in ("digest", "size", "mediaType"))
    if not isinstance(digest, str) or not is_digest(digest):
        raise CorruptImage(f"{where} has no valid digest: {digest!r:.100}")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise CorruptImage(f"{where} has no valid size: {size!r:.100}")
    return Blob(digest, size, media_type if isinstance(media_type, str) else "")


def parse_manifest(document: dict[str, Any]) -> Manifest:
    """Check an image manifest (OCI, or Docker's schema 2). Raises `CorruptImage`."""
    if document.get("schemaVersion") != 2:
        raise CorruptImage(
            f"the manifest has schema version {document.get('schemaVersion')!r}, not 2",
            "Docker's schema 1 is not supported: push the image again with a newer tool",
        )
    config = blob_of(document.get("config"), "the manifest's config")
    if config.media_type not in media_types.CONFIGS:
        raise CorruptImage(f"the config's type is {config.media_type!r:.100}: this is an artifact, not an image")
    descriptors = document.get("layers")
    if not isinstance(descriptors, list) or len(descriptors) > MAX_LAYERS:
        raise CorruptImage("the manifest has no list of layers, or too many of them")
    layers = tuple(blob_of(descriptor, f"layer {number}") for number, descriptor in enumerate(descriptors, 1))
    for number, layer in enumerate(layers, 1):
        if layer.media_type not in media_types.LAYERS:
            raise CorruptImage(f"layer {number} has the type {layer.media_type!r:.100}, which is not an image layer")
    return Manifest(config, layers)


def as_oci(content: bytes, media_type: str) -> tuple[bytes, Blob]:
    """Return an image manifest as the OCI's, and what describes it: OCI layouts hold no others (skopeo and podman ignore them).

    Docker's schema 2 differs in media types only; config and layers stay the same blobs. The same bytes give the same bytes.
    """
    if media_type == media_types.DOCKER_MANIFEST:
        document = json.loads(content)
        document["mediaType"] = media_types.OCI_MANIFEST
        for descriptor in (document["config"], *document["layers"]):
            descriptor["mediaType"] = media_types.OCI_OF_DOCKER.get(descriptor["mediaType"], descriptor["mediaType"])
        content = json.dumps(document, separators=(",", ":")).encode()
    digest = _sha256(content)
    return content, Blob(digest, len(content), media_types.OCI_MANIFEST)


def diff_ids_of(config: dict[str, Any], layer_count: int) -> tuple[str, ...]:
    """Check a config's rootfs and return its diff IDs, bottom first. Raises `CorruptImage`."""
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not all(isinstance(diff_id, str) and is_digest(diff_id) for diff_id in diff_ids):
        raise CorruptImage("the config has no valid list rootfs.diff_ids: it is not an image's config")
    if len(diff_ids) != layer_count:
        raise CorruptImage(f"the config names {len(diff_ids)} layers, but the manifest has {layer_count}")
    return tuple(diff_ids)


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return the chain ID of each layer, bottom first (image-spec config.md, "Layer ChainID")."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(_sha256(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


def _sha256(content: bytes) -> str:
    import hashlib  # loads OpenSSL, 3 ms: `rl run` of an image with one layer does without

    return f"sha256:{hashlib.sha256(content).hexdigest()}"
