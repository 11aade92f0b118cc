"""What `rl image mount` and `unmount` have in common: they work inside `rl unshare` only, on images by name or all."""

import os

from rootless.errors import NodeLacks
from rootless.images.store import Image, ImageStore
from rootless.locations import Locations, from_environment
from rootless.namespaces.inside import is_inside


def locations_inside(verb: str) -> Locations:
    """Return the locations. Raises `NodeLacks` outside of `rl unshare`, where a mount would end with the command."""
    if not is_inside(os.environ):
        text = f"cannot run `rl image {verb}` here: it would end with the command"
        raise NodeLacks(text, "run `rl unshare` first, and this command in it")
    return from_environment(os.environ, os.geteuid())


def name_of(image: Image | None, short_id: str) -> str:
    """Return an image's first name, or its ID where it has none."""
    return next(iter((*image.names, *image.repo_digests)), short_id) if image else short_id


def by_short_id(locations: Locations, short_id: str) -> Image | None:
    """Return the image with an ID, or None where it has been removed while it was mounted."""
    return ImageStore(locations).find(short_id)
