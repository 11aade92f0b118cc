"""`rl container exists`: tell by the exit status whether there is a container."""

import os

import click

from cli.verb import GoFlags
from rootless.containers.store import ContainerStore
from rootless.errors import InvalidInput, NoSuchObject
from rootless.locations import from_environment


@click.command(cls=GoFlags)
@click.argument("container", metavar="CONTAINER")
def command(*, container: str) -> int:
    """Exit with 0 where there is such a container, with 1 where there is none."""
    try:
        ContainerStore(from_environment(os.environ, os.geteuid())).id_of(container)
    except (NoSuchObject, InvalidInput):
        return 1
    return 0
