"""How much disk containers take, as `rl ps --size` shows it."""

from collections.abc import Sequence
from typing import Final

from cli.sizes import human_size
from rootless.containers.documents import Document
from rootless.images.history import layer_size
from rootless.locations import Locations
from rootless.storage.usage import sizes_of_uppers

_DIGITS: Final = 3


def sizes_of(locations: Locations, documents: Sequence[Document]) -> dict[str, str]:
    """Return by ID what a container wrote and, as `virtual`, that with its image's layers; the caller is single-threaded."""
    written = sizes_of_uppers(locations, [document["Id"] for document in documents])
    layers = {key: layer_size(locations, key) for document in documents for key in document["Rl"]["LayerKeys"]}
    return {
        document["Id"]: _text(written[document["Id"]], sum(layers[key] for key in document["Rl"]["LayerKeys"]))
        for document in documents
    }


def _text(written: int, layers: int) -> str:
    return f"{human_size(written, _DIGITS)} (virtual {human_size(written + layers, _DIGITS)})"
