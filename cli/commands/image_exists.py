"""`rl image exists`: tell by the exit status whether an image is in the store."""

import os

import click

from cli.verb import GoFlags
from rootless.errors import InvalidInput
from rootless.images.store import ImageStore
from rootless.locations import from_environment


@click.command(cls=GoFlags)
@click.argument("image", metavar="IMAGE")
def command(*, image: str) -> int:
    """Exit with 0 where the image is in the store, with 1 where it is not."""
    try:
        return int(ImageStore(from_environment(os.environ, os.geteuid())).find(image) is None)
    except InvalidInput:  # not even a name that an image could have
        return 1
