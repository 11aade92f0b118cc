"""Removing images that nobody uses (`rl image prune`), in one change of the index."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from rootless.images import mounted
from rootless.images.listing import ListedImage, list_images
from rootless.images.reach import Reach, configs_of, reach_of
from rootless.images.remove import untagged_names
from rootless.images.store import ImageStore
from rootless.images.sweep import empty_trash, leave_index
from rootless.locations import Locations


class Pruned(NamedTuple):
    """What went: familiar names, IDs of images and keys of layers, and the bytes that this freed."""

    untagged: tuple[str, ...]
    deleted: tuple[str, ...]
    size: int


def prune_images(
    locations: Locations, used_images: Callable[[], Iterable[str]], may_go: Callable[[ListedImage], bool], *, named: bool
) -> Pruned:
    """Remove the images that no container and no mount uses and that `may_go` lets go: those without a tag, or with `named` all.

    `used_images` returns the IDs of all containers' images. An image list without a name goes; one with a name goes with
    `named`. The caller is single-threaded. Raises `CorruptImage` for a broken index.
    """
    store = ImageStore(locations)
    store.layout.prepare()
    with store.layout.locked():
        used = set(used_images())
        mounts = mounted.mounted_ids(locations)

        def is_used(image: ListedImage) -> bool:
            return any(one in used or mounted.short_id(one) in mounts for one in configs_of(store, image.entries[0]))

        images = list_images(store)
        leaving = [
            image
            for image in images
            if (named or not image.names) and may_go(image) and not is_used(image)
        ]
        if not leaving:
            return Pruned((), (), 0)
        ids = {image.id for image in leaving}
        going = [entry for image in leaving for entry in image.entries]
        kept = [entry for entry in store.layout.descriptors() if store.image_id(entry) not in ids]
        gone, alive = reach_of(store, going), reach_of(store, kept)
        swept = leave_index(store, kept, Reach(gone.blobs - alive.blobs, gone.layer_keys - alive.layer_keys))
    empty_trash(locations)
    untagged = [name for image in leaving for name in untagged_names(list(image.entries), list(image.entries))]
    return Pruned(tuple(untagged), (*(image.id for image in leaving), *swept.layer_keys), swept.size)
