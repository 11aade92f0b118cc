"""`rl manifest create`: make an image list."""

import os

import click

from cli.list_instances import instances
from cli.registry_options import Reach, registry_options
from cli.tables import emit
from cli.verb import Verb
from rootless.images import manifest_list
from rootless.images.additions import adding
from rootless.locations import from_environment


@click.command(cls=Verb)
@click.option("--all", "everything", is_flag=True, help="Of lists in registries take all images, not just this machine's.")
@click.option("-a", "--amend", is_flag=True, help="Add to the list where it exists.")
@registry_options
@click.argument("name", metavar="LIST")
@click.argument("images", nargs=-1, metavar="[IMAGE…]")
def command(*, name: str, images: tuple[str, ...], everything: bool, amend: bool, by: Reach) -> None:
    """Make an image list, of images of the store or in registries, and print its ID."""
    locations = from_environment(os.environ, os.geteuid())
    with adding(locations):
        listed = [one for image in images for one in instances(locations, image, by, everything=everything)]
        list_id = manifest_list.create(locations, name, listed, amend=amend)
    emit(list_id.removeprefix("sha256:"))
