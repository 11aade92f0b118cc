"""`rl wait`: wait for the end of containers."""

import os

import click

from cli.several import for_each
from rootless.containers import lifecycle
from rootless.locations import from_environment


@click.command()
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER…")
def command(*, containers: tuple[str, ...]) -> int:
    """Wait until containers have ended, and print their exit codes."""
    locations = from_environment(os.environ, os.geteuid())
    return for_each(containers, lambda name: str(lifecycle.wait(locations, name)))
