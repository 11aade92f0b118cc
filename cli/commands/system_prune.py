"""`rl system prune`: remove what nobody uses."""

import os

import click

from cli.commands.image_prune import ALL_IMAGES, DANGLING_IMAGES
from cli.commands.image_prune import prune as prune_images
from cli.commands.image_prune import show as show_images
from cli.confirmation import confirm
from cli.container_prune import ALL_STOPPED, prune_containers
from cli.image_filters import OF_PRUNE, parse_filters
from cli.sizes import human_size
from cli.tables import emit
from cli.verb import Verb
from cli.volume_pruning import ANONYMOUS_VOLUMES, prune_volumes
from rootless.containers.store import ContainerStore, layer_keys_of
from rootless.errors import InvalidInput
from rootless.images.sweep import sweep
from rootless.locations import Locations, from_environment, make_private_folder
from rootless.namespaces.worker import run_in_parent
from rootless.storage import image_mount, trash
from rootless.storage.usage import tree_size


@click.command(cls=Verb)
@click.option("-a", "--all", "everything", is_flag=True, help="All images that no container uses, not just dangling ones.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only those that match (until=…, label=…).")
@click.option("--volumes", is_flag=True, help="Anonymous volumes that no container has, too.")
def command(*, everything: bool, force: bool, filters: tuple[str, ...], volumes: bool) -> None:
    """Remove stopped containers, images that nobody uses, and what else is left over in the store."""
    wanted = parse_filters(filters, OF_PRUNE)
    if volumes and "until" in wanted:
        raise InvalidInput('the "until" filter is not supported with "--volumes"', "leave out one of the two")
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    if not force:
        confirm(_warning(filters, everything=everything, volumes=volumes), "system prune")
    size = prune_containers(locations, wanted)
    if volumes:
        pruned_volumes = prune_volumes(locations, wanted, everything=False)
        size += pruned_volumes.size
        if pruned_volumes.names:
            emit("\n".join(["Deleted Volumes:", *pruned_volumes.names, ""]))
    pruned = prune_images(locations, wanted, everything=everything)
    show_images(pruned)
    size += pruned.size + _remove_leftovers(locations)
    emit(f"Total reclaimed space: {human_size(size, 4)}")


def _warning(filters: tuple[str, ...], *, everything: bool, volumes: bool) -> str:
    lines = [
        "WARNING! This will remove:",
        f"  - {ALL_STOPPED}",
        *([f"  - {ANONYMOUS_VOLUMES}"] if volumes else []),
        f"  - {ALL_IMAGES if everything else DANGLING_IMAGES}",
        "  - all layers without at least one image or container",
        "  - all downloads that nobody went on with for a day",
        "",
    ]
    if filters:
        lines += ["  Items to be pruned will be filtered with:", *(f"  - {text}" for text in filters), ""]
    return "\n".join(lines)


def _remove_leftovers(locations: Locations) -> int:
    """Remove what belongs to nothing any more; returns its bytes. Filters do not apply: it has neither labels nor a name."""

    def held_layers() -> list[str]:
        return [key for document in ContainerStore(locations).list() for key in layer_keys_of(document)]

    size = run_in_parent(locations, tree_size, locations.trash)
    size += sweep(locations, held_layers).size
    run_in_parent(locations, image_mount.remove_leftovers, locations)
    trash.empty(locations)
    return size
