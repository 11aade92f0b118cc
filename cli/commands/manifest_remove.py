"""`rl manifest remove`: take images out of an image list."""

import os

import click

from cli.list_instances import digests_of
from cli.tables import emit
from cli.verb import Verb
from rootless.images import manifest_list
from rootless.images.manifest_list import Index
from rootless.locations import from_environment, make_private_folder


@click.command(cls=Verb)
@click.argument("name", metavar="LIST")
@click.argument("image", metavar="IMAGE|DIGEST")
def command(*, name: str, image: str) -> None:
    """Take an image out of a list, and print the list's new ID."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    digests = digests_of(locations, image)

    def edit(index: Index) -> Index:
        leaving = manifest_list.chosen(index, digests, image)
        return {**index, "manifests": [one for one in index["manifests"] if one not in leaving]}

    emit(manifest_list.change(locations, name, edit).removeprefix("sha256:"))
