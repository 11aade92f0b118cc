"""What makes an image of files that come as a tar: its layer, its config and its manifest, put into the store (import, commit)."""

import datetime
import json
import os
from collections.abc import Sequence
from typing import IO, Any, Final, NamedTuple

from rootless.errors import InvalidInput
from rootless.images import media_types
from rootless.images.archive_blocks import BZIP2, XZ, Rejoined, decompressed_slowly
from rootless.images.blobs import BlobWriter, write_blob
from rootless.images.compression import BLOCK, Limits
from rootless.images.layout import MAX_DOCUMENT, Layout
from rootless.images.manifest import Blob
from rootless.images.store import NewImage
from rootless.images.unpack_image import unpack_new_layer
from rootless.locations import Locations

_SUFFIXES: Final = {b"\x1f\x8b": "+gzip", b"\x28\xb5": "+zstd"}


class StoredLayer(NamedTuple):
    """A layer in the store: its blob, its diff ID; the keys of the whole stack, bottom first, and the bytes of its files.

    `warnings` tell what could not be unpacked as it is.
    """

    blob: Blob
    diff_id: str
    keys: tuple[str, ...]
    size: int
    warnings: tuple[str, ...]


def store_layer(locations: Locations, source: IO[bytes], below: tuple[str, ...] = ()) -> StoredLayer:
    """Write a tar into the store as it is (only xz and bzip2 are decompressed), unpacked upon the layers with the diff IDs `below`.

    The caller is in `additions.adding`. Raises `InvalidInput`, `CorruptImage`, `NodeLacks`, `OSError`; nothing is kept then.
    """
    rejoined = Rejoined(source)
    first = rejoined.first
    if not first:
        raise InvalidInput("the archive to import is empty")
    blocks = decompressed_slowly(rejoined, Limits()) if first.startswith((XZ, BZIP2)) else iter(lambda: rejoined.read(BLOCK), b"")
    with BlobWriter(Layout(locations)) as writer:
        for block in blocks:
            writer.write(block)
        new = unpack_new_layer(locations, writer.flushed(), below)
        digest = writer.commit()  # only now: of a tar that cannot be unpacked nothing stays
    media_type = media_types.OCI_LAYER + _SUFFIXES.get(first[:2], "")
    return StoredLayer(Blob(digest, writer.size, media_type), *new)


def write_documents(layout: Layout, layers: Sequence[Blob], config: dict[str, Any], keys: tuple[str, ...], size: int) -> NewImage:
    """Write config and manifest of an image; `layers` are bottom first, `keys` as in `StoredLayer`.

    Raises `InvalidInput` for a config that nobody could read again.
    """
    config_content = _encoded(config)
    if len(config_content) > MAX_DOCUMENT:
        text = f"the image's config would have {len(config_content)} bytes, and {MAX_DOCUMENT} are the most"
        raise InvalidInput(text, "give it shorter labels, variables and commands; the history has them, too")
    config_digest = write_blob(layout, config_content)
    manifest = _encoded(
        {
            "schemaVersion": 2,
            "mediaType": media_types.OCI_MANIFEST,
            "config": {"mediaType": media_types.OCI_CONFIG, "digest": config_digest, "size": len(config_content)},
            "layers": [{"mediaType": one.media_type, "digest": one.digest, "size": one.size} for one in layers],
        }
    )
    manifest_digest = write_blob(layout, manifest)
    return NewImage(
        id=config_digest,
        manifest=Blob(manifest_digest, len(manifest), media_types.OCI_MANIFEST),
        blobs=(manifest_digest, config_digest, *(one.digest for one in layers)),
        layer_keys=keys,
        size=size,
        source_digest=None,
    )


def now() -> str:
    """Return the time as RFC 3339 text, or that of SOURCE_DATE_EPOCH (reproducible-builds.org)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else datetime.datetime.now(datetime.UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
