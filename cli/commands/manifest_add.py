"""`rl manifest add`: add images to an image list."""

import os

import click

from cli.list_instances import changes_of, changes_options, instances
from cli.registry_options import Reach, registry_options
from cli.tables import emit
from cli.verb import Verb
from rootless.images import manifest_list
from rootless.images.additions import adding
from rootless.locations import from_environment


@click.command(cls=Verb)
@click.option("--all", "everything", is_flag=True, help="Of lists in registries take all images, not just this machine's.")
@changes_options
@registry_options
@click.argument("name", metavar="LIST")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
def command(
    *,
    name: str,
    images: tuple[str, ...],
    everything: bool,
    arch: str | None,
    system: str | None,
    variant: str | None,
    annotations: tuple[str, ...],
    by: Reach,
) -> None:
    """Add images of the store, or in registries, to an image list, and print its new ID."""
    locations = from_environment(os.environ, os.geteuid())
    changes = changes_of(arch, system, variant, annotations)
    manifest_list.find(locations, name)  # before anything is fetched
    with adding(locations):
        listed = [changes.apply(one) for image in images for one in instances(locations, image, by, everything=everything)]
        list_id = manifest_list.change(locations, name, lambda index: manifest_list.added(index, listed))
    emit(list_id.removeprefix("sha256:"))
