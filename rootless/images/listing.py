"""Listing images from the index alone: what `rl images`, `rl system df` and prune need of many images."""

from typing import NamedTuple

from rootless.errors import CorruptImage
from rootless.images import layers
from rootless.images.layout import UNPACKED_SIZE, Descriptor, annotation
from rootless.images.store import CREATED, ImageStore, is_list, names_of, repo_digests


class ListedImage(NamedTuple):
    """An image, or an image list, of the index.

    `names` are whole names with tags, `repo_digests` names with the digest that the registry gave, `size` the bytes of all
    unpacked files, `created` RFC 3339 text or "" (an image list's), `entries` its descriptors.
    """

    id: str
    names: tuple[str, ...]
    repo_digests: tuple[str, ...]
    size: int
    created: str
    entries: tuple[Descriptor, ...]

    @property
    def is_list(self) -> bool:
        """Whether this is an image list (`rl manifest`)."""
        return is_list(self.entries[0])


def list_images(store: ImageStore) -> list[ListedImage]:
    """Return all images and image lists, each once, in the order of the index.

    Configs are only read of images that another tool put into the layout. Raises `CorruptImage`.
    """
    return [_listed(store, image_id, entries) for image_id, entries in store.by_id().items()]


def labels_of(store: ImageStore, image: ListedImage) -> dict[str, str]:
    """Return the labels in an image's config; an image list, and an image that cannot be read, has none."""
    if image.is_list:
        return {}
    try:
        config = store.image_of(image.entries[0]).config.get("config")
    except CorruptImage:
        return {}
    labels = config.get("Labels") if isinstance(config, dict) else None
    return labels if isinstance(labels, dict) else {}


def layer_keys_of(store: ImageStore, image: ListedImage) -> tuple[str, ...]:
    """Return the keys of an image's layers, bottom first; none of an image list."""
    return () if image.is_list else layers.keys_of(store.locations, store.image_of(image.entries[0]).diff_ids)


def _listed(store: ImageStore, image_id: str, entries: list[Descriptor]) -> ListedImage:
    first = entries[0]
    size, created = annotation(first, UNPACKED_SIZE), annotation(first, CREATED)
    names, digests = names_of(entries), repo_digests(entries)
    if is_list(first):
        return ListedImage(image_id, names, digests, int(size or 0), created or "", tuple(entries))
    if size is not None and size.isdecimal() and created is not None:
        return ListedImage(image_id, names, digests, int(size), created, tuple(entries))
    image = store.image_of(first)
    return ListedImage(image_id, names, digests, image.size, image.created, tuple(entries))
