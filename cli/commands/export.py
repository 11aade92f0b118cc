"""`rl export`: write a container's root file system as a tar."""

import os
import sys

import click

from cli.verb import GoFlags
from rootless.containers.export import export
from rootless.errors import InvalidInput
from rootless.images.output_file import replaced
from rootless.locations import from_environment, make_private_folder


@click.command(cls=GoFlags)
@click.option("-o", "--output", metavar="FILE", help="Write to this file instead of standard output.")
@click.argument("container")
def command(*, container: str, output: str | None) -> None:
    """Write a container's root file system, without its volumes, as a tar."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    if output is not None:
        with replaced(output) as descriptor:
            export(locations, container, descriptor)
    elif sys.stdout.isatty():
        raise InvalidInput("will not write a tar to the terminal", "give a file: rl export -o FILE CONTAINER, or redirect it")
    else:
        export(locations, container, sys.stdout.fileno())
