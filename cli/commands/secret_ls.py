"""`rl secret ls`: list the secrets."""

import os
import re
import time
from typing import Any, Final

import click

from cli.durations import ago
from cli.formats import show_rows
from cli.tables import emit, table
from cli.verb import Verb
from cli.volume_rows import labels_fit
from rootless.errors import InvalidInput
from rootless.locations import from_environment
from rootless.storage.secret_store import DRIVER, Secret, SecretStore

_COLUMNS: Final = ("ID", "Name", "Driver", "CreatedAt", "UpdatedAt")
_HEADERS: Final = {
    "CreatedAt": "CREATED",
    "Driver": "DRIVER",
    "ID": "ID",
    "Labels": "LABELS",
    "Name": "NAME",
    "UpdatedAt": "UPDATED",
}


@click.command(cls=Verb)
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Show those that match (name, id, label).")
@click.option("--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json', or a Go template.")
@click.option("-n", "--noheading", is_flag=True, help="Do not print the columns' titles.")
@click.option("-q", "--quiet", is_flag=True, help="Show only IDs.")
def command(*, filters: tuple[str, ...], form: str | None, noheading: bool, quiet: bool) -> None:
    """List secrets by name."""
    secrets = SecretStore(from_environment(os.environ, os.geteuid())).list()
    if filters:
        from cli.image_filters import parse_filters  # with the option only

        wanted = parse_filters(filters, ("id", "label", "label!", "name"))
        secrets = [secret for secret in secrets if _passes(secret, wanted)]
    if quiet and not form:
        for secret in secrets:
            emit(secret.id)
        return
    now = time.time()
    rows = [_row(secret, now) for secret in secrets]
    if noheading and form in {None, "", "table"}:
        if rows:
            emit(table([str(row[name]) for name in _COLUMNS] for row in rows))
        return
    show_rows(form, _COLUMNS, _HEADERS, rows)


def _row(secret: Secret, now: float) -> dict[str, Any]:
    return {
        "CreatedAt": ago(secret.created, now),
        "Driver": DRIVER,
        "ID": secret.id,
        "Label": lambda name: secret.labels.get(name, ""),
        "Labels": ",".join(f"{name}={value}" for name, value in sorted(secret.labels.items())),
        "Name": secret.name,
        "UpdatedAt": ago(secret.updated, now),
    }


def _passes(secret: Secret, wanted: dict[str, list[str]]) -> bool:
    try:
        by_name = [re.search(pattern, secret.name) for pattern in wanted.get("name", ())]
    except re.error as error:
        raise InvalidInput(f"invalid filter 'name': {error}", "values are regular expressions") from error
    by_id = [secret.id.startswith(text) for text in wanted.get("id", ())]
    return (not by_name or any(by_name)) and (not by_id or any(by_id)) and labels_fit(secret.labels, wanted)
