"""How an image came about: its config's history (image-spec config.md), with the size of each step's layer."""

from collections.abc import Iterator
from typing import NamedTuple

from rootless.errors import CorruptImage
from rootless.images import layers
from rootless.images.store import Image
from rootless.images.unpack_image import read_record
from rootless.locations import Locations


class Step(NamedTuple):
    """One step: RFC 3339 text or "", what the builder says it ran, bytes of the layer's files, and a comment."""

    created: str
    created_by: str
    size: int
    comment: str


def history_of(locations: Locations, image: Image) -> list[Step]:
    """Return the steps, the last first. Layers that the history leaves out, as some tools do, are steps without words."""
    noted = image.config.get("history")
    steps = [step for step in noted if isinstance(step, dict)] if isinstance(noted, list) else []
    sizes = [layer_size(locations, key) for key in image.layer_keys]
    with_layer = sum(not step.get("empty_layer") for step in steps)
    steps += [{}] * (len(sizes) - with_layer)
    pending = iter(sizes)
    found = [
        Step(_text(step, "created"), _text(step, "created_by"), _size(step, pending), _text(step, "comment")) for step in steps
    ]
    return found[::-1]


def layer_size(locations: Locations, key: str) -> int:
    """Return the bytes of all files of an unpacked layer; 0 for one that is not there, which the next run unpacks again."""
    try:
        return int(read_record(layers.folder_of(locations, key))["size"])
    except CorruptImage:
        return 0


def _size(step: dict[str, object], pending: Iterator[int]) -> int:
    return 0 if step.get("empty_layer") else next(pending, 0)


def _text(step: dict[str, object], key: str) -> str:
    value = step.get(key)
    return value if isinstance(value, str) else ""
