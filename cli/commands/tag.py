"""`rl tag`: give an image more names."""

import os

import click

from cli.verb import Verb
from rootless.images.store import ImageStore
from rootless.locations import from_environment


@click.command(cls=Verb)
@click.argument("image", metavar="SOURCE[:TAG]")
@click.argument("names", metavar="TARGET[:TAG]…", nargs=-1, required=True)
def command(*, image: str, names: tuple[str, ...]) -> None:
    """Give an image more names; another image that had one of them loses it."""
    store = ImageStore(from_environment(os.environ, os.geteuid()))
    for name in names:
        store.tag(image, name)
