"""`rl image prune`: remove images that nobody uses."""

import os

import click

from cli.confirmation import confirm
from cli.image_filters import OF_PRUNE, ImageFilters, parse_filters
from cli.sizes import human_size
from cli.tables import emit, for_output
from cli.verb import Verb
from rootless.containers.store import ContainerStore, images_of
from rootless.images.prune import Pruned, prune_images
from rootless.images.store import ImageStore
from rootless.locations import Locations, from_environment, make_private_folder

ALL_IMAGES = "all images without at least one container associated to them"
DANGLING_IMAGES = "all dangling images"


@click.command(cls=Verb)
@click.option("-a", "--all", "everything", is_flag=True, help="All images that no container uses, not just dangling ones.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only those that match (until=…, label=…).")
def command(*, everything: bool, force: bool, filters: tuple[str, ...]) -> None:
    """Remove images without a tag that no container uses."""
    wanted = parse_filters(filters, OF_PRUNE)
    locations = from_environment(os.environ, os.geteuid())
    if not force:
        confirm(f"WARNING! This will remove {ALL_IMAGES if everything else DANGLING_IMAGES}.", "image prune")
    pruned = prune(locations, wanted, everything=everything)
    show(pruned)
    emit(f"Total reclaimed space: {human_size(pruned.size, 4)}")


def prune(locations: Locations, wanted: dict[str, list[str]], *, everything: bool) -> Pruned:
    """Remove what no container uses and the filters let pass."""
    make_private_folder(locations.runtime_dir)
    store = ImageStore(locations)
    chosen = ImageFilters(wanted, store, ())

    def used_images() -> list[str]:
        return [image_id for document in ContainerStore(locations).list() for image_id in images_of(document)]

    return prune_images(locations, used_images, chosen.passes, named=everything)


def show(pruned: Pruned) -> None:
    """Print what went, as Docker does: nothing where nothing went."""
    lines = [*(f"untagged: {name}" for name in pruned.untagged), *(f"deleted: {one}" for one in pruned.deleted)]
    if lines:
        emit(for_output("\n".join(["Deleted Images:", *lines, ""])))
