"""`rl volume exists`: tell by the exit status whether there is a volume."""

import os

import click

from cli.verb import GoFlags
from rootless.locations import from_environment
from rootless.storage.volumes import VolumeStore


@click.command(cls=GoFlags)
@click.argument("volume", metavar="VOLUME")
def command(*, volume: str) -> int:
    """Exit with 0 where there is a volume of that name, with 1 where there is none."""
    return int(VolumeStore(from_environment(os.environ, os.geteuid())).find(volume) is None)
