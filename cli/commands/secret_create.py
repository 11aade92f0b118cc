"""`rl secret create`: make a secret."""

import os
import sys

import click

from cli.key_values import parse_labels
from cli.tables import emit
from cli.verb import Verb
from rootless import events
from rootless.errors import InvalidInput
from rootless.locations import from_environment
from rootless.storage.secret_store import DRIVER, MAX_BYTES, SecretStore


@click.command(cls=Verb)
@click.option("-d", "--driver", default=DRIVER, metavar="NAME", help="The secret's driver: file.")
@click.option("--env", "from_environment_", is_flag=True, help="FILE is the name of an environment variable that has the secret.")
@click.option("-l", "--label", "labels", multiple=True, metavar="NAME[=VALUE]", help="Give it a label.")
@click.option("--replace", is_flag=True, help="Replace a secret of that name.")
@click.argument("name")
@click.argument("file", metavar="FILE|-")
def command(*, name: str, file: str, driver: str, from_environment_: bool, labels: tuple[str, ...], replace: bool) -> None:
    """Make a secret of what is in FILE, or with - of standard input, and print its ID."""
    if driver != DRIVER:
        raise InvalidInput(f"there is no secret driver {driver!r}", f"use the driver `{DRIVER}`")
    data = _read_variable(file) if from_environment_ else _read(file)
    locations = from_environment(os.environ, os.geteuid())
    secret = SecretStore(locations).create(name, data, parse_labels(labels), replace=replace)
    events.emit(locations, "secret", "create", secret.id, {"name": secret.name})
    emit(secret.id)


def _read_variable(name: str) -> bytes:
    value = os.environb.get(os.fsencode(name))
    if value is None:
        raise InvalidInput(f"cannot find environment variable {name}", "export it first")
    return value


def _read(path: str) -> bytes:
    """Return a file's content, and of one that is too large no more than shows that."""
    if path == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)
