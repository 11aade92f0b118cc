"""`rl import`: make an image from a root file system's tar."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import BinaryIO

import click

from cli.transports import warn
from cli.verb import GoFlags
from rootless.errors import InvalidInput, os_error_text
from rootless.images.import_tar import import_tar
from rootless.images.platform import parse
from rootless.locations import from_environment, make_private_folder


@click.command(cls=GoFlags)
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Apply a Dockerfile instruction.")
@click.option("-m", "--message", default="", help="The comment of the image's history.")
@click.option("--platform", metavar="OS/ARCH[/VARIANT]", help="What the files are for, if not this machine.")
@click.argument("file", metavar="FILE|-")
@click.argument("reference", metavar="[NAME[:TAG]]", required=False)
def command(*, file: str, reference: str | None, changes: tuple[str, ...], message: str, platform: str | None) -> None:
    """Make an image of one layer from a tar (plain, gzip, zstd, xz, bzip2), and print its ID."""
    if file.startswith(("http://", "https://")):
        raise InvalidInput(f"will not import from a URL: {file}", f"check what you get first, or: curl -fL {file} | rl import -")
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    wanted = parse(platform) if platform else None
    with _opened(file) as source:
        message = message or f"Imported from {file}"
        image = import_tar(locations, source, reference, changes=changes, message=message, wanted=wanted, warn=warn)
    click.echo(image.id)


@contextlib.contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        if sys.stdin.isatty():
            raise InvalidInput("will not read a tar from the terminal", "give a FILE, or pipe one into `rl import -`")
        yield sys.stdin.buffer
        return
    try:
        source = open(file, "rb")  # noqa: SIM115 - the `with` is outside of the `try`
    except OSError as error:
        raise InvalidInput(f"cannot open the archive: {os_error_text(error)}") from error
    with source:
        yield source
