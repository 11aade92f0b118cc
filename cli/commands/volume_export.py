"""`rl volume export`: write a volume's files as a tar."""

import os
import sys

import click

from cli.verb import Verb
from rootless.containers.volume_archives import export_volume
from rootless.errors import InvalidInput
from rootless.images.output_file import replaced
from rootless.locations import from_environment, make_private_folder
from rootless.storage.volumes import VolumeStore


@click.command(cls=Verb)
@click.option("-o", "--output", metavar="FILE", help="Write to this file instead of standard output.")
@click.argument("volume")
def command(*, volume: str, output: str | None) -> None:
    """Write the files of a volume as a tar."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    VolumeStore(locations).get(volume)  # before a file is made
    if output is not None:
        with replaced(output) as descriptor:
            export_volume(locations, volume, descriptor)
    elif sys.stdout.isatty():
        raise InvalidInput("will not write a tar to the terminal", "give a file: rl volume export -o FILE VOLUME, or redirect it")
    else:
        export_volume(locations, volume, sys.stdout.fileno())
