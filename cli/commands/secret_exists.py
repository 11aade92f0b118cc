"""`rl secret exists`: tell by the exit status whether there is a secret."""

import os

import click

from cli.verb import GoFlags
from rootless.errors import NoSuchObject
from rootless.locations import from_environment
from rootless.storage.secret_store import SecretStore


@click.command(cls=GoFlags)
@click.argument("secret", metavar="SECRET")
def command(*, secret: str) -> int:
    """Exit with 0 where there is a secret of that name or ID, with 1 where there is none."""
    try:
        SecretStore(from_environment(os.environ, os.geteuid())).get(secret)
    except NoSuchObject:
        return 1
    return 0
