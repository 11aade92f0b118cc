"""`rl manifest annotate`: change what an image list says of an image."""

import os

import click

from cli.list_instances import changes_of, changes_options, digests_of
from cli.tables import emit
from cli.verb import Verb
from rootless.images import manifest_list
from rootless.images.manifest_list import Index
from rootless.locations import from_environment


@click.command(cls=Verb)
@changes_options
@click.argument("name", metavar="LIST")
@click.argument("image", metavar="IMAGE|DIGEST")
def command(
    *, name: str, image: str, arch: str | None, system: str | None, variant: str | None, annotations: tuple[str, ...]
) -> None:
    """Change platform and annotations of an image in a list, and print the list's new ID."""
    locations = from_environment(os.environ, os.geteuid())
    changes = changes_of(arch, system, variant, annotations)
    digests = digests_of(locations, image)

    def edit(index: Index) -> Index:
        found = manifest_list.chosen(index, digests, image)
        return manifest_list.added(index, [changes.apply(one) for one in found])

    emit(manifest_list.change(locations, name, edit).removeprefix("sha256:"))
