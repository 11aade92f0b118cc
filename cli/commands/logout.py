"""`rl logout`: forget a log-in."""

import os
import sys

import click

from cli.tables import emit
from cli.verb import GoFlags
from rootless.errors import InvalidInput


@click.command(cls=GoFlags)
@click.option("-a", "--all", "everything", is_flag=True, help="All log-ins that are kept.")
@click.option("--authfile", metavar="FILE", help="The file to remove it from; also REGISTRY_AUTH_FILE.")
@click.argument("server", required=False, metavar="[SERVER]")
def command(*, server: str | None, everything: bool, authfile: str | None) -> None:
    """Forget the log-in to a registry (docker.io where none is given)."""
    from rootless.registry.login import elsewhere, parse_server, remove, remove_all  # httpx and trio: not for `rl --help`

    environ = {**os.environ, "REGISTRY_AUTH_FILE": authfile} if authfile else dict(os.environ)
    if everything:
        if server is not None:
            raise InvalidInput("--all takes no server")
        remove_all(environ)
        emit("Removed login credentials for all registries")
        return
    wanted = parse_server(server or "docker.io")
    removed = remove(wanted, environ)
    emit(f"Removing login credentials for {wanted.key}" if removed else f"Not logged in to {wanted.key}")
    other = elsewhere(wanted, environ)
    if other is not None:
        text = f"rl: warning: {other} still has a log-in for {wanted.key}; to remove it: rl logout --authfile {other} {wanted.key}"
        print(text, file=sys.stderr)  # noqa: T201
