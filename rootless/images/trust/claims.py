"""What a signature says: an image's digest and the name under which it was signed.

The payload is the "simple signing" JSON that cosign and containers/image sign (containers-signature(5); cosign SIGNATURE_SPEC.md);
it lies beside the image as a manifest of its own, tagged `sha256-HEX.sig`, with a layer a signature.
"""

import base64
import binascii
import hashlib
import json
from typing import Any, Final, NamedTuple

from rootless.errors import CorruptImage
from rootless.images import media_types
from rootless.images.manifest import Blob, blob_of

PAYLOAD_TYPE: Final = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE: Final = "dev.cosignproject.cosign/signature"
MAX_SIGNATURES: Final = 128
MAX_PAYLOAD: Final = 64 << 10
_KIND: Final = "cosign container image signature"
_CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"


class Claim(NamedTuple):
    """A payload's content: the name, with or without a tag, and the manifest's digest."""

    reference: str
    digest: str


class Attached(NamedTuple):
    """A signature that lies beside an image: its payload as a blob, and the signature's bytes (DER)."""

    payload: Blob
    signature: bytes


def tag_of(digest: str) -> str:
    """Return the tag under which the signatures of a manifest are."""
    return f"{digest.replace(':', '-')}.sig"


def payload_of(claim: Claim) -> bytes:
    """Return the JSON to sign."""
    document = {
        "critical": {
            "identity": {"docker-reference": claim.reference},
            "image": {"docker-manifest-digest": claim.digest},
            "type": _KIND,
        },
        "optional": {"creator": "rl"},
    }
    return json.dumps(document, separators=(",", ":")).encode()


def claim_of(payload: bytes) -> Claim:
    """Return what a payload claims. Raises `CorruptImage` for one that is not exactly of the known form."""
    try:
        document: Any = json.loads(payload)
        critical = document["critical"]
        claim = Claim(critical["identity"]["docker-reference"], critical["image"]["docker-manifest-digest"])
        known = set(document) <= {"critical", "optional"} and set(critical) == {"identity", "image", "type"}
        is_ours = known and critical["type"] == _KIND and all(isinstance(field, str) for field in claim)
    except (ValueError, KeyError, TypeError, RecursionError):
        is_ours = False
    if not is_ours:
        raise CorruptImage("a signature's payload is not in the form of simple signing")
    return claim


def attached_of(manifest: dict[str, Any]) -> list[Attached]:
    """Return the signatures that a signature manifest lists; what is of other types, or malformed, is left out."""
    found = []
    layers = manifest.get("layers")
    for descriptor in layers[:MAX_SIGNATURES] if isinstance(layers, list) else ():
        annotations = descriptor.get("annotations") if isinstance(descriptor, dict) else None
        if not isinstance(annotations, dict) or descriptor.get("mediaType") != PAYLOAD_TYPE:
            continue
        try:
            payload = blob_of(descriptor, "a signature's payload")
            signature = base64.b64decode(str(annotations.get(SIGNATURE)), validate=True)
        except (CorruptImage, binascii.Error):
            continue
        if payload.size <= MAX_PAYLOAD:
            found.append(Attached(payload, signature))
    return found


def with_signature(before: dict[str, Any] | None, payload: bytes, signature: bytes) -> tuple[bytes, bytes]:
    """Return manifest and config that hold one signature more than `before`, the manifest that is there so far.

    Raises `CorruptImage` where that is malformed, or full.
    """
    there = (before or {}).get("layers") or []
    if not isinstance(there, list):
        raise CorruptImage("the manifest of the signatures that are there has no list of layers")
    for number, layer in enumerate(there, 1):
        blob_of(layer, f"signature {number}")
    if len(there) >= MAX_SIGNATURES:
        raise CorruptImage(f"the image has {len(there)} signatures, and more than {MAX_SIGNATURES} are never looked at")
    layers = [
        *there,
        {
            "mediaType": PAYLOAD_TYPE,
            "digest": digest_of(payload),
            "size": len(payload),
            "annotations": {SIGNATURE: base64.b64encode(signature).decode()},
        },
    ]
    config = json.dumps(
        {
            "architecture": "",
            "os": "",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
        }
    ).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": {"mediaType": _CONFIG_TYPE, "digest": digest_of(config), "size": len(config)},
        "layers": layers,
    }
    return json.dumps(manifest).encode(), config


def digest_of(content: bytes) -> str:
    """Return the SHA-256 digest of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
