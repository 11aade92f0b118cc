"""`rl image diff`: what an image changed."""

import os

import click

from cli.changes import show_changes
from cli.verb import Verb
from rootless.images.diff import diff_images
from rootless.images.store import ImageStore
from rootless.locations import from_environment, make_private_folder


@click.command(cls=Verb)
@click.option("--format", "form", metavar="FORMAT", type=click.Choice(["json"]), help="'json' for lists by kind.")
@click.argument("image", metavar="IMAGE")
@click.argument("other", metavar="[OTHER]", required=False)
def command(*, image: str, other: str | None, form: str | None) -> None:
    """Show what an image's topmost layer, or an image compared with another, added (A), changed (C) and deleted (D)."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    store = ImageStore(locations)
    show_changes(diff_images(locations, store.get(image), store.get(other) if other else None), form)
