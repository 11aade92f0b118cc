"""`rl rename`: give a container another name."""

import os

import click

from cli.verb import Verb
from rootless.containers.rename import rename
from rootless.locations import from_environment


@click.command(cls=Verb)
@click.argument("container", metavar="CONTAINER")
@click.argument("name", metavar="NEW_NAME")
def command(*, container: str, name: str) -> None:
    """Give a container, running or not, another name."""
    rename(from_environment(os.environ, os.geteuid()), container, name)
