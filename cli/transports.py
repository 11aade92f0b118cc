"""What `pull` and `push` do where a name has a transport of archives (`oci:DIR:TAG`), and what is told of it."""

import os
import sys

from cli.complaints import complain
from cli.tables import printable
from rootless.errors import InvalidInput
from rootless.images import platform as platforms
from rootless.images.store import ImageStore
from rootless.images.transports import Transport, read_into_store, write_from_store
from rootless.images.trust import policy
from rootless.locations import Locations


def read_archive(locations: Locations, transport: Transport, platform: str | None, *, quiet: bool, all_tags: bool) -> str:
    """Bring an image into the store; return its ID if quiet, else its name there, or its ID where it has none."""
    if all_tags:
        raise InvalidInput("--all-tags is for registries", f"`rl load -i {transport.path}` loads all images of an archive")
    asked = platforms.parse(platform) if platform else None
    note = ignore if quiet else tell
    loaded = read_into_store(locations, transport, platform=asked, note=note, warn=warn, policy=policy.load(os.environ))
    return loaded.image.id if quiet or not loaded.names else loaded.names[0]


def write_archive(locations: Locations, name: str, transport: Transport, *, quiet: bool) -> str:
    """Write an image of the store; return its manifest's digest, as it is in the store."""
    return write_from_store(locations, ImageStore(locations).get(name), transport, note=ignore if quiet else tell)


def tell(text: str) -> None:
    """Print what is done to standard error."""
    print(printable(text), file=sys.stderr)  # noqa: T201


def warn(text: str) -> None:
    """Warn of what an image has that cannot be unpacked; also when quiet."""
    complain(text, kind="warning")


def ignore(_text: str) -> None:
    """Say nothing."""
