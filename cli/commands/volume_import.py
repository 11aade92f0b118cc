"""`rl volume import`: unpack a tar into a volume."""

import os
import sys

import click

from cli.verb import Verb
from rootless.containers.volume_archives import import_volume
from rootless.errors import InvalidInput
from rootless.images.compression import limits_from
from rootless.locations import from_environment, make_private_folder


@click.command(cls=Verb)
@click.argument("volume")
@click.argument("file", metavar="FILE|-")
def command(*, volume: str, file: str) -> None:
    """Unpack a tar (plain, gzip, zstd, xz, bzip2) into a volume, which must exist."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    limits = limits_from(os.environ)
    if file != "-":
        with open(file, "rb") as source:
            import_volume(locations, volume, source, limits)
        return
    if sys.stdin.isatty():
        raise InvalidInput("will not read a tar from the terminal", "give a FILE, or pipe one into `rl volume import VOLUME -`")
    import_volume(locations, volume, sys.stdin.buffer, limits)
