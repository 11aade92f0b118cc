"""`rl container prune`: remove the containers that do not run."""

import os

import click

from cli.confirmation import confirm
from cli.container_prune import ALL_STOPPED, prune_containers
from cli.image_filters import OF_PRUNE, parse_filters
from cli.sizes import human_size
from cli.tables import emit
from cli.verb import Verb
from rootless.locations import from_environment, make_private_folder


@click.command(cls=Verb)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only those that match (until=…, label=…).")
def command(*, force: bool, filters: tuple[str, ...]) -> None:
    """Remove all containers that do not run."""
    wanted = parse_filters(filters, OF_PRUNE)
    locations = from_environment(os.environ, os.geteuid())
    if not force:
        confirm(f"WARNING! This will remove {ALL_STOPPED}.", "container prune")
    make_private_folder(locations.runtime_dir)
    size = prune_containers(locations, wanted)
    emit(f"Total reclaimed space: {human_size(size, 4)}")
