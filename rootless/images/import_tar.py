"""Making an image of one layer from a root file system's tar (`rl import`)."""

from collections.abc import Callable, Iterable
from typing import IO, Any

from rootless import events
from rootless.errors import CorruptImage, NoSuchObject
from rootless.images import additions, platform, reference
from rootless.images.archive_errors import of_archive
from rootless.images.changes import apply_changes
from rootless.images.new_image import now, store_layer, write_documents
from rootless.images.store import Image, ImageStore
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
    warn: Callable[[str], None] = lambda _text: None,
) -> Image:
    """Make an image from a tar, plain or compressed by gzip, zstd, xz or bzip2, and return it.

    `name` is a reference, or None for an image without a name; `changes` are Dockerfile instructions; `created` is RFC 3339 text,
    by default now; `wanted` is the platform of the files, by default this machine's; `warn` is told what cannot be unpacked as it
    is. The caller is single-threaded. Raises `InvalidInput`, `CorruptImage`, `NodeLacks`, `OSError`; nothing is kept then.
    """
    target = None if name is None else reference.parse_new(name)
    settings: dict[str, Any] = {}
    apply_changes(settings, changes)
    store = ImageStore(locations)
    with additions.adding(locations):
        try:
            layer = store_layer(locations, source)
        except CorruptImage as error:
            raise of_archive(error, "import the archive") from error
        for text in layer.warnings:
            warn(text)
        config = _config(settings, layer.diff_id, message, created or now(), wanted)
        new = write_documents(store.layout, [layer.blob], config, layer.keys, layer.size)
        if not store.add(new, target.name if target else None):
            raise NoSuchObject("the new image's layer was removed by another process before it had a name", "import it again")
        events.emit(locations, "image", "import", new.id, {"name": reference.familiar_name(target.name) if target else new.id})
        return store.added(new)


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
