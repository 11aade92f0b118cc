"""Signatures in registries: fetching those of an image, and adding one (cosign's "tag-based discovery")."""

import io
from typing import Any

from rootless.errors import NoSuchObject
from rootless.images import json_document, media_types
from rootless.images.blobs import check_digest
from rootless.images.trust.claims import attached_of, digest_of, tag_of, with_signature
from rootless.images.trust.decision import Evidence
from rootless.registry.client import fetch_document, fetch_manifest
from rootless.registry.session import Session
from rootless.registry.upload import BlobSource, push


async def fetch(session: Session, digest: str) -> list[Evidence]:
    """Return the signatures of a manifest, none where there are none; they are not verified.

    Raises `RegistryError`, `CorruptImage`.
    """
    manifest = await _manifest(session, digest)
    found = []
    for attached in attached_of(manifest) if manifest is not None else ():
        payload = await fetch_document(session, attached.payload.digest, attached.payload.size)
        check_digest(payload, attached.payload.digest)
        found.append(Evidence(payload, attached.signature))
    return found


async def add(session: Session, digest: str, payload: bytes, signature: bytes) -> None:
    """Put one more signature beside the manifest with this digest. Raises `RegistryError`."""
    manifest, config = with_signature(await _manifest(session, digest), payload, signature)
    blobs = [_source(content) for content in (payload, config)]
    await push(session, tag_of(digest), manifest, media_types.OCI_MANIFEST, blobs)


def _source(content: bytes) -> BlobSource:
    return BlobSource(digest_of(content), len(content), lambda: io.BytesIO(content))


async def _manifest(session: Session, digest: str) -> dict[str, Any] | None:
    try:
        document = await fetch_manifest(session, tag_of(digest), (media_types.OCI_MANIFEST,))
    except NoSuchObject:
        return None
    return json_document.parse(document.content, f"the manifest with the signatures of {digest}")
