"""The image that `rl run` and `rl create` make a container from: in the store, pulled, or read from an archive."""

import os
import sys

from rootless.images import transports
from rootless.images.store import Image, ImageStore
from rootless.locations import Locations


def find(locations: Locations, name: str) -> tuple[Image, str]:
    """Return the image, and its name as the container's record shall have it; one that is not there is pulled or read."""
    transport = transports.parse(name)
    if transport is not None and not transport.is_registry:
        return _read_archive(locations, transport), name
    name = transports.plain_name(name)
    return ImageStore(locations).find(name) or _pull(locations, name), name


def _pull(locations: Locations, name: str) -> Image:
    """Pull an image that is not there, saying so on standard error as Docker does."""
    from cli.progress import pull_with_progress  # a pull is not on the path of a start

    print(f"Unable to find image '{name}' locally", file=sys.stderr)  # noqa: T201
    return pull_with_progress(locations, name, quiet=False, stream=sys.stderr, if_missing=True)


def _read_archive(locations: Locations, transport: transports.Transport) -> Image:
    from cli.transports import tell, warn  # not on the path of a start from the store
    from rootless.images.trust import policy

    return transports.read_into_store(locations, transport, note=tell, warn=warn, policy=policy.load(os.environ)).image
