"""Making an image of one layer from a root file system's tar (`rl import`)."""

import datetime
import json
import os
from collections.abc import Iterable
from typing import IO, Any

from rootless import events
from rootless.errors import CorruptImage, InvalidInput, NoSuchObject
from rootless.images import additions, media_types, platform, reference
from rootless.images.archive_blocks import BZIP2, XZ, Rejoined, decompressed_slowly
from rootless.images.archive_errors import of_archive
from rootless.images.blobs import BlobWriter, write_blob
from rootless.images.changes import apply_changes
from rootless.images.compression import BLOCK, Limits
from rootless.images.layout import Layout
from rootless.images.manifest import Blob
from rootless.images.store import Image, ImageStore, NewImage
from rootless.images.unpack_image import unpack_new_layer
from rootless.locations import Locations


def import_tar(
    locations: Locations,
    source: IO[bytes],
    name: str | None,
    *,
    changes: Iterable[str] = (),
    message: str = "",
    created: str | None = None,
    wanted: platform.Platform | None = None,
) -> Image:
    """Make an image from a tar, plain or compressed by gzip, zstd, xz or bzip2, and return it.

    `name` is a reference, or None for an image without a name; `changes` are Dockerfile instructions; `created` is RFC 3339 text,
    by default now; `wanted` is the platform of the files, by default this machine's. The caller is single-threaded. Raises
    `InvalidInput`, `CorruptImage`, `NodeLacks`, `OSError`; nothing is kept then.
    """
    target = None if name is None else reference.parse(name)
    if target is not None and target.digest is not None:
        raise InvalidInput(f"cannot name an image by a digest: {name!r}", "give NAME[:TAG]")
    settings: dict[str, Any] = {}
    apply_changes(settings, changes)
    store = ImageStore(locations)
    with additions.adding(locations):
        try:
            layer, diff_id, size = _store_layer(store, source)
        except CorruptImage as error:
            raise of_archive(error, "import the archive") from error
        new = _write_documents(store.layout, layer, _config(settings, diff_id, message, created or _now(), wanted), diff_id, size)
        if not store.add(new, target.name if target else None):
            raise NoSuchObject("the new image's layer was removed by another process before it had a name", "import it again")
        events.emit(locations, "image", "import", new.id, {"name": reference.familiar_name(target.name) if target else new.id})
        return store.added(new)


def _store_layer(store: ImageStore, source: IO[bytes]) -> tuple[Blob, str, int]:
    """Write the tar into the store as it is (only xz and bzip2 are decompressed), unpacked; return its diff ID and size, too."""
    rejoined = Rejoined(source)
    first = rejoined.first
    if not first:
        raise InvalidInput("the archive to import is empty")
    blocks = decompressed_slowly(rejoined, Limits()) if first.startswith((XZ, BZIP2)) else iter(lambda: rejoined.read(BLOCK), b"")
    with BlobWriter(store.layout) as writer:
        for block in blocks:
            writer.write(block)
        diff_id, size = unpack_new_layer(store.locations, writer.flushed())
        digest = writer.commit()  # only now: of a tar that cannot be unpacked nothing stays
    suffix = "+gzip" if first[:2] == b"\x1f\x8b" else "+zstd" if first[:4] == b"\x28\xb5\x2f\xfd" else ""
    return Blob(digest, writer.size, media_types.OCI_LAYER + suffix), diff_id, size


def _config(
    settings: dict[str, Any], diff_id: str, message: str, created: str, wanted: platform.Platform | None
) -> dict[str, Any]:
    machine = wanted or platform.of_machine()
    config: dict[str, Any] = {"created": created, "architecture": machine.architecture, "os": machine.os}
    if machine.variant:
        config["variant"] = machine.variant
    return {
        **config,
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": created, "comment": message or "Imported from -"}],
    }


def _write_documents(layout: Layout, layer: Blob, config: dict[str, Any], diff_id: str, size: int) -> NewImage:
    config_content = _encoded(config)
    config_digest = write_blob(layout, config_content)
    manifest = _encoded(
        {
            "schemaVersion": 2,
            "mediaType": media_types.OCI_MANIFEST,
            "config": {"mediaType": media_types.OCI_CONFIG, "digest": config_digest, "size": len(config_content)},
            "layers": [{"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}],
        }
    )
    manifest_digest = write_blob(layout, manifest)
    return NewImage(
        id=config_digest,
        manifest=Blob(manifest_digest, len(manifest), media_types.OCI_MANIFEST),
        blobs=(manifest_digest, config_digest, layer.digest),
        layer_keys=(diff_id,),
        size=size,
        source_digest=None,
    )


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _now() -> str:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")  # reproducible-builds.org
    moment = datetime.datetime.fromtimestamp(int(epoch), datetime.UTC) if epoch else datetime.datetime.now(datetime.UTC)
    return moment.isoformat().replace("+00:00", "Z")
