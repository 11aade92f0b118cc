"""`rl rm`: remove containers."""

import os

import click

from cli.several import for_each, report
from rootless.containers import lifecycle
from rootless.errors import NoSuchObject
from rootless.locations import from_environment


@click.command()
@click.option("-f", "--force", is_flag=True, help="Remove running containers, too: they are killed.")
@click.option("-v", "--volumes", is_flag=True, help="Remove the containers' anonymous volumes, too.")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER…")
def command(*, containers: tuple[str, ...], force: bool, volumes: bool) -> int:
    """Remove containers with all their files."""
    locations = from_environment(os.environ, os.geteuid())

    def remove(name: str) -> str | None:
        try:
            lifecycle.remove(locations, name, force=force, volumes=volumes)
        except NoSuchObject as error:
            if not force:
                raise
            report(error)  # as in Docker, what -f wanted is the case, so this is no failure
            return None
        return name

    return for_each(containers, remove)
