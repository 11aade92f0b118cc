"""`rl rm`: remove containers."""

import os

import click

from cli.choosing import Chosen, choose, read_ids
from cli.several import for_each, report
from cli.verb import GoFlags
from rootless.containers import lifecycle
from rootless.containers.store import ContainerStore
from rootless.errors import InvalidInput, NoSuchObject
from rootless.locations import from_environment


@click.command(cls=GoFlags)
@click.option("-a", "--all", "take_all", is_flag=True, help="Remove all containers that do not run; with -f all.")
@click.option("--cidfile", "cid_files", multiple=True, metavar="FILE", help="Remove the container whose ID is in a file.")
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Remove those that match, as of rl ps.")
@click.option("-f", "--force", is_flag=True, help="Remove running containers, too: they are killed.")
@click.option("-i", "--ignore", is_flag=True, help="Take containers that do not exist for removed.")
@click.option("-t", "--time", "seconds", type=int, metavar="SECONDS", help="With -f: stop them first, and wait so long for that.")
@click.option("-v", "--volumes", is_flag=True, help="Remove the containers' anonymous volumes, too.")
@click.argument("containers", nargs=-1, metavar="CONTAINER…")
def command(
    *,
    containers: tuple[str, ...],
    take_all: bool,
    cid_files: tuple[str, ...],
    filters: tuple[str, ...],
    force: bool,
    ignore: bool,
    seconds: int | None,
    volumes: bool,
) -> int:
    """Remove containers with all their files."""
    if seconds is not None and not force:
        raise InvalidInput("--time is only for --force", "leave it out, or give --force, too")
    locations = from_environment(os.environ, os.geteuid())

    def remove(name: str) -> str | None:
        try:
            if seconds is not None:
                lifecycle.stop(locations, ContainerStore(locations).find(name), lifecycle.grace(seconds))
            lifecycle.remove(locations, name, force=force, volumes=volumes)
        except NoSuchObject as error:
            if ignore:
                return None
            if not force:
                raise
            report(error)  # as in Docker, what -f wanted is the case, so this is no failure
            return None
        return name

    chosen = Chosen(take_all, filters, running=None if force or filters else False)
    return for_each(choose(locations, (*containers, *read_ids(cid_files)), chosen), remove)
