"""`rl volume inspect`: all that is known of volumes."""

import os
from typing import Any

import click

from cli.formats import pretty_json, show_object
from cli.several import for_each
from cli.tables import emit
from cli.verb import GoFlags
from rootless.errors import InvalidInput
from rootless.locations import from_environment
from rootless.storage.volumes import VolumeStore, inspect_document


@click.command(cls=GoFlags)
@click.option("-a", "--all", "everything", is_flag=True, help="All volumes.")
@click.option("-f", "--format", "form", metavar="FORMAT", help="'json', or a Go template.")
@click.argument("volumes", nargs=-1, metavar="VOLUME…")
def command(*, volumes: tuple[str, ...], everything: bool, form: str | None) -> int:
    """Show all that is known of volumes, as JSON."""
    if bool(volumes) == everything:
        raise InvalidInput("give the names of volumes, or --all")
    store = VolumeStore(from_environment(os.environ, os.geteuid()))
    found: list[Any] = []

    def look_up(name: str) -> None:
        document = inspect_document(store.get(name))
        if form:
            show_object(form, document)
        else:
            found.append(document)

    status = for_each(store.names() if everything else volumes, look_up)
    if not form:
        emit(pretty_json(found))
    return status
