"""The layers of all images as a tree: each layer on the one below it (`rl image tree`)."""

from typing import NamedTuple

from rootless.images.history import layer_size
from rootless.images.manifest import chain_ids
from rootless.images.store import Image, ImageStore


class LayerNode(NamedTuple):
    """A layer in its place: its chain ID, bytes of its files, names of the images whose top it is, and the layers on it."""

    chain_id: str
    size: int
    names: list[str]
    children: list["LayerNode"]


def layer_tree(store: ImageStore) -> dict[str, LayerNode]:
    """Return the layers of all images by chain ID."""
    nodes: dict[str, LayerNode] = {}
    for image in store.list():
        below: LayerNode | None = None
        for chain_id, key in zip(chain_ids(image.diff_ids), image.layer_keys, strict=True):
            node = nodes.get(chain_id)
            if node is None:
                node = nodes[chain_id] = LayerNode(chain_id, layer_size(store.locations, key), [], [])
                if below is not None:
                    below.children.append(node)
            below = node
        if below is not None:
            below.names.extend(image.names)
    return nodes


def stack_of(nodes: dict[str, LayerNode], image: Image) -> list[LayerNode]:
    """Return the layers of one image, bottom first."""
    return [nodes[chain_id] for chain_id in chain_ids(image.diff_ids)]
