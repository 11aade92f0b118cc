"""`rl init`: make containers up to their waiting first process."""

import os

import click

from cli.choosing import Chosen, choose
from cli.session import detached_start
from cli.several import for_each
from cli.verb import GoFlags
from rootless.containers import lifecycle
from rootless.locations import from_environment, make_private_folder


@click.command(cls=GoFlags)
@click.option("-a", "--all", "take_all", is_flag=True, help="All containers that do not run.")
@click.argument("containers", nargs=-1, metavar="CONTAINER…")
def command(*, containers: tuple[str, ...], take_all: bool) -> int:
    """Make containers, with their mounts and networks, up to their first process, which waits for `rl start`.

    So somebody can look at a container before its command runs.
    """
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    names = tuple(choose(locations, containers, Chosen(take_all, (), running=False)))

    def initialize(name: str) -> str:
        _document, running = lifecycle.begin_existing(locations, name, holds=True)
        detached_start(running)
        return name

    return for_each(names, initialize)
