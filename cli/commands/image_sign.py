"""`rl image sign`: put a signature beside an image in its registry."""

import os
from pathlib import Path

import click

from cli.passphrase import passphrase_for
from cli.tables import emit
from cli.verb import GoFlags
from rootless.errors import InvalidInput, os_error_text
from rootless.images.trust.signing import sign


@click.command(cls=GoFlags)
@click.option("--key", required=True, metavar="FILE", help="The private key (PEM, PKCS #8).")
@click.option("-r", "--recursive", is_flag=True, help="Sign each image of an index, too.")
@click.argument("name", metavar="NAME[:TAG|@DIGEST]")
def command(*, name: str, key: str, recursive: bool) -> None:
    """Sign an image in its registry, in the format of cosign, and print the digests that were signed.

    The key's passphrase is COSIGN_PASSWORD, or asked for.
    """
    try:
        pem = Path(key).read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read the private key: {os_error_text(error)}") from error
    for signed in sign(name, pem, passphrase_for(key, pem), key, environ=os.environ, recursive=recursive):
        emit(signed.digest)
