"""`rl builder prune`: remove the build cache."""

import os

import click

from cli.confirmation import confirm
from cli.sizes import human_size
from cli.tables import emit
from cli.verb import Verb
from rootless.build import cache_mounts
from rootless.build.cache import StepCache
from rootless.locations import from_environment, make_private_folder


@click.command(cls=Verb)
@click.option("-f", "--force", is_flag=True, help="Do not ask.")
def command(*, force: bool) -> None:
    """Remove the build cache, and the folders of RUN --mount=type=cache; layers that images have stay."""
    if not force:
        confirm("WARNING! This will remove all build cache.", "builder prune")
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    freed = StepCache(locations).prune() + cache_mounts.prune(locations)
    emit(f"Total reclaimed space: {human_size(freed, 4)}")
