"""`rl volume prune`: remove volumes that no container has."""

import os

import click

from cli.confirmation import confirm
from cli.image_filters import parse_filters
from cli.sizes import human_size
from cli.tables import emit
from cli.verb import Verb
from cli.volume_pruning import ALL_VOLUMES, ANONYMOUS_VOLUMES, prune_volumes
from cli.volume_rows import parse_boolean
from rootless.locations import from_environment, make_private_folder


@click.command(cls=Verb)
@click.option("-a", "--all", "everything", is_flag=True, help="Named volumes, too, not just anonymous ones.")
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only those that match (label=…, all=true).")
def command(*, everything: bool, force: bool, filters: tuple[str, ...]) -> None:
    """Remove anonymous volumes that no container has."""
    wanted = parse_filters(filters, ("all", "label", "label!"))
    everything = everything or any(parse_boolean("all", text) for text in wanted.get("all", ()))
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    if not force:
        confirm(f"WARNING! This will remove {ALL_VOLUMES if everything else ANONYMOUS_VOLUMES}.", "volume prune")
    pruned = prune_volumes(locations, wanted, everything=everything)
    if pruned.names:
        emit("\n".join(["Deleted Volumes:", *pruned.names, ""]))
    emit(f"Total reclaimed space: {human_size(pruned.size, 4)}")
