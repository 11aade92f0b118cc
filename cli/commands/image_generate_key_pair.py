"""`rl image generate-key-pair`: make a key pair to sign images with."""

import os
import sys

import click

from cli.passphrase import new_passphrase
from cli.verb import GoFlags
from rootless.errors import InvalidInput
from rootless.images.trust.keys import generate


@click.command(cls=GoFlags)
@click.option("--output-key-prefix", "prefix", default="cosign", metavar="PREFIX", help="Write PREFIX.key and PREFIX.pub.")
def command(*, prefix: str) -> None:
    """Make a key pair for `rl image sign` and `verify`, or cosign; the passphrase is COSIGN_PASSWORD, or asked for."""
    for path in (f"{prefix}.key", f"{prefix}.pub"):
        if os.path.lexists(path):
            raise InvalidInput(f"{path} exists already", "choose another name with --output-key-prefix, or remove it")
    pair = generate(new_passphrase())
    for path, content, mode in ((f"{prefix}.key", pair.private, 0o600), (f"{prefix}.pub", pair.public, 0o644)):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:
            file.write(content)
        print(f"{'Private' if mode == 0o600 else 'Public'} key written to {path}", file=sys.stderr)  # noqa: T201
