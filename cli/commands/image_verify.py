"""`rl image verify`: check an image's signatures in its registry."""

import os
from pathlib import Path

import click

from cli.formats import pretty_json
from cli.tables import emit
from cli.verb import GoFlags
from rootless.errors import InvalidInput, os_error_text
from rootless.images.trust.signing import verify


@click.command(cls=GoFlags)
@click.option("--key", "files", required=True, multiple=True, metavar="FILE", help="A public key (PEM) that may have signed.")
@click.argument("name", metavar="NAME[:TAG|@DIGEST]")
def command(*, name: str, files: tuple[str, ...]) -> None:
    """Print what was signed about an image by one of the keys, as JSON; fail where nothing was."""
    try:
        known = [(file, Path(file).read_bytes()) for file in files]
    except OSError as error:
        raise InvalidInput(f"cannot read the public key: {os_error_text(error)}") from error
    found = verify(name, known, environ=os.environ)
    emit(pretty_json([{"Reference": one.claim.reference, "Digest": one.digest} for one in found]))
