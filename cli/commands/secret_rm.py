"""`rl secret rm`: remove secrets."""

import os

import click

from cli.several import for_each
from cli.verb import GoFlags
from rootless import events
from rootless.errors import InvalidInput, NoSuchObject
from rootless.locations import from_environment
from rootless.storage.secret_store import SecretStore


@click.command(cls=GoFlags)
@click.option("-a", "--all", "everything", is_flag=True, help="All secrets.")
@click.option("-i", "--ignore", is_flag=True, help="It is no failure that a secret does not exist.")
@click.argument("secrets", nargs=-1, metavar="SECRET…")
def command(*, secrets: tuple[str, ...], everything: bool, ignore: bool) -> int:
    """Remove secrets. Containers that were made with one keep their copy of it."""
    if bool(secrets) == everything:
        raise InvalidInput("give the names or IDs of secrets, or --all")
    locations = from_environment(os.environ, os.geteuid())
    store = SecretStore(locations)

    def remove(name: str) -> str | None:
        try:
            secret = store.remove(name)
        except NoSuchObject:
            if not ignore:
                raise
            return None
        events.emit(locations, "secret", "remove", secret.id, {"name": secret.name})
        return secret.id

    return for_each(store.names() if everything else secrets, remove)
