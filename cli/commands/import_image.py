"""`rl import`: make an image from a root file system's tar."""

import os
import sys

import click

from rootless.errors import InvalidInput, os_error_text
from rootless.images.import_tar import import_tar
from rootless.images.store import Image
from rootless.locations import Locations, from_environment, make_private_folder


@click.command()
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Apply a Dockerfile instruction.")
@click.option("-m", "--message", default="", help="The comment of the image's history.")
@click.argument("file", metavar="FILE|-")
@click.argument("reference", metavar="[NAME[:TAG]]", required=False)
def command(*, file: str, reference: str | None, changes: tuple[str, ...], message: str) -> None:
    """Make an image of one layer from a tar (plain, gzip, zstd, xz, bzip2), and print its ID."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    click.echo(_import(locations, file, reference, changes, message).id)


def _import(locations: Locations, file: str, name: str | None, changes: tuple[str, ...], message: str) -> Image:
    if file == "-":
        if sys.stdin.isatty():
            raise InvalidInput("will not read a tar from the terminal", "give a FILE, or pipe one into `rl import -`")
        return import_tar(locations, sys.stdin.buffer, name, changes=changes, message=message or "Imported from -")
    try:
        source = open(file, "rb")  # noqa: SIM115 - the `with` is outside of the `try`
    except OSError as error:
        raise InvalidInput(f"cannot open the archive: {os_error_text(error)}") from error
    with source:
        return import_tar(locations, source, name, changes=changes, message=message or f"Imported from {file}")
