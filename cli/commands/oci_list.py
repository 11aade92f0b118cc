"""`rl oci list`: the containers in a root."""

import json

import click

from cli.oci_verb import OciVerb, Settings
from rootless.errors import NoSuchObject
from rootless.runtime.oci.state import Folder, Record, list_all, status


@click.command(cls=OciVerb)
@click.option("-f", "--format", "output_format", type=click.Choice(["table", "json"]), default="table", help="How to print them.")
@click.option("-q", "--quiet", is_flag=True, help="Print IDs only.")
def command(settings: Settings, output_format: str, quiet: bool) -> None:
    """List the containers of this --root."""
    rows = []
    for folder in list_all(settings.root):
        try:
            rows.append(_row(folder, folder.read()))
        except NoSuchObject:
            continue  # it went meanwhile
    if quiet:
        print(*(row["id"] for row in rows), sep="\n", end="\n" if rows else "")  # noqa: T201
    elif output_format == "json":
        print(json.dumps(rows))  # noqa: T201
    else:
        columns = ("id", "pid", "status", "bundle", "created", "owner")
        cells = [[column.upper() for column in columns], *([str(row[column]) for column in columns] for row in rows)]
        widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
        for line in cells:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())  # noqa: T201


def _row(folder: Folder, record: Record) -> dict[str, object]:
    current = status(folder, record)
    pid = record.init.pid if record.init is not None and current != "stopped" else 0
    return {
        "ociVersion": record.version,
        "id": record.id,
        "pid": pid,
        "status": current,
        "bundle": record.bundle,
        "rootfs": record.rootfs,
        "created": record.created,
        "owner": str(record.owner),
    }
