"""`rl secret inspect`: what is known of secrets."""

import os
from typing import Any

import click

from cli.formats import pretty_json, show_object
from cli.several import for_each
from cli.tables import emit, printable
from cli.verb import GoFlags
from rootless.errors import InvalidInput
from rootless.locations import from_environment
from rootless.storage.secret_store import SecretStore, inspect_document


@click.command(cls=GoFlags)
@click.option("-f", "--format", "form", metavar="FORMAT", help="'json', or a Go template.")
@click.option("--pretty", is_flag=True, help="Show them as text.")
@click.option("--showsecret", "show", is_flag=True, help="Show the secret itself, too.")
@click.argument("secrets", nargs=-1, required=True, metavar="SECRET…")
def command(*, secrets: tuple[str, ...], form: str | None, pretty: bool, show: bool) -> int:
    """Show what is known of secrets, as JSON: all but the secret itself."""
    if form and pretty:
        raise InvalidInput("--format and --pretty cannot be used together")
    store = SecretStore(from_environment(os.environ, os.geteuid()))
    found: list[Any] = []

    def look_up(name: str) -> None:
        document = inspect_document(store.get(name), show=show)
        if form:
            show_object(form, document)
        elif pretty:
            emit(_text(document))
        else:
            found.append(document)

    status = for_each(secrets, look_up)
    if not form and not pretty:
        emit(pretty_json(found))
    return status


def _text(document: dict[str, Any]) -> str:
    spec = document["Spec"]
    lines = [
        f"ID:              {document['ID']}",
        f"Name:            {spec['Name']}",
        *(f"Labels:          {name}={value}" for name, value in sorted(spec["Labels"].items())),
        f"Driver:          {spec['Driver']['Name']}",
        f"Created at:      {document['CreatedAt']}",
        f"Updated at:      {document['UpdatedAt']}",
        *([f"Secret:          {document['SecretData']}"] if "SecretData" in document else []),
    ]
    return "\n".join(map(printable, lines))
