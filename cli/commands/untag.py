"""`rl untag`: take names from an image."""

import os

import click

from cli.verb import Verb
from rootless.images.store import ImageStore
from rootless.locations import from_environment


@click.command(cls=Verb)
@click.argument("image", metavar="IMAGE")
@click.argument("names", metavar="[NAME[:TAG]…]", nargs=-1)
def command(*, image: str, names: tuple[str, ...]) -> None:
    """Take names from an image, all of them where none is given. The image itself stays."""
    ImageStore(from_environment(os.environ, os.geteuid())).untag(image, names)
