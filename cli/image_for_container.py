"""The image that `rl run` and `rl create` make a container from: in the store, pulled, or read from an archive."""

import os
import sys

from rootless.containers.options import CreateOptions
from rootless.errors import NoSuchObject, RegistryError
from rootless.images import transports
from rootless.images.config import ContainerDefaults, container_defaults
from rootless.images.store import Image, ImageStore
from rootless.locations import Locations


def find(locations: Locations, name: str, options: CreateOptions) -> tuple[Image, str]:
    """Return the image, and its name as the container's record shall have it; `options` say whether it is pulled.

    `--platform` asks for another one than the store has: that is pulled, too, and takes the name over.
    """
    transport = transports.parse(name)
    if transport is not None and not transport.is_registry:
        return _read_archive(locations, transport, options), name
    name = transports.plain_name(name)
    found = ImageStore(locations).find(name)
    if found is not None and options.platform is not None:
        found = found if _is_for(found, options.platform) else None
    if options.pull == "never" and found is None:
        raise NoSuchObject(f"No such image: {name}", "pull it, or leave out --pull never")
    if found is not None and options.pull in ("missing", "never"):
        return found, name
    return _pull(locations, name, options, found), name


def config_of(locations: Locations, image_id: str) -> ContainerDefaults | None:
    """Return what an image says of its containers; None where it is gone."""
    found = ImageStore(locations).find(image_id)
    return None if found is None else container_defaults(found.config)


def _pull(locations: Locations, name: str, options: CreateOptions, found: Image | None) -> Image:
    """Pull an image, saying so on standard error as Docker does; with `newer` one that is there is good enough."""
    from cli.progress import pull_with_progress  # a pull is not on the path of a start

    if options.pull == "missing" and not options.pulls_quietly:
        print(f"Unable to find image '{name}' locally", file=sys.stderr)  # noqa: T201
    try:
        return pull_with_progress(
            locations,
            name,
            quiet=options.pulls_quietly,
            stream=sys.stderr,
            platform=options.platform,
            if_missing=options.pull == "missing" and options.platform is None,
        )
    except (NoSuchObject, RegistryError):
        if options.pull == "newer" and found is not None:
            return found
        raise


def _is_for(image: Image, platform: str) -> bool:
    """Tell whether an image is of the platform that was asked for; what its config does not say suits."""
    from rootless.images.platform import parse  # with the option only

    wanted = parse(platform)
    return all(
        not asked or str(image.config.get(key) or asked) == asked
        for key, asked in (("os", wanted.os), ("architecture", wanted.architecture), ("variant", wanted.variant))
    )


def _read_archive(locations: Locations, transport: transports.Transport, options: CreateOptions) -> Image:
    from cli.transports import tell, warn  # not on the path of a start from the store
    from rootless.images import platform
    from rootless.images.trust import policy

    asked = platform.parse(options.platform) if options.platform is not None else None
    trusted = policy.load(os.environ)
    return transports.read_into_store(locations, transport, platform=asked, note=tell, warn=warn, policy=trusted).image
