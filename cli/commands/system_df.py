"""`rl system df`: what images, containers and volumes take on the disk."""

import os
import time
from typing import Any, Final

import click

from cli.container_rows import ContainerRow
from cli.disk_usage import DiskUsage
from cli.formats import show_object, show_rows
from cli.image_rows import ImageRow, names_of
from cli.sizes import human_size
from cli.tables import emit, table
from cli.verb import Verb
from cli.volume_rows import row_of
from rootless.errors import InvalidInput
from rootless.locations import from_environment, make_private_folder

_COLUMNS: Final = ("Type", "TotalCount", "Active", "Size", "Reclaimable")
_HEADERS: Final = {
    "Active": "ACTIVE",
    "Reclaimable": "RECLAIMABLE",
    "Size": "SIZE",
    "TotalCount": "TOTAL",
    "Type": "TYPE",
}
_IMAGE_COLUMNS: Final = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "Size": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
    "Containers": "CONTAINERS",
}
_CONTAINER_COLUMNS: Final = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "LocalVolumes": "LOCAL VOLUMES",
    "Size": "SIZE",
    "RunningFor": "CREATED",
    "Status": "STATUS",
    "Names": "NAMES",
}
_VOLUME_COLUMNS: Final = {"Name": "VOLUME NAME", "Links": "LINKS", "Size": "SIZE"}
_NO_CACHE: Final = "CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED"


@click.command(cls=Verb)
@click.option("--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json', or a Go template.")
@click.option("-v", "--verbose", is_flag=True, help="Show each image, each container and each volume.")
def command(*, form: str | None, verbose: bool) -> None:
    """Show what images, containers and volumes take on the disk: images with their compressed blobs, each shared part once."""
    if verbose and form and form.startswith("table"):
        raise InvalidInput("the verbose form is no table of one kind of rows", "use --format json, or a template on the lists")
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    usage = DiskUsage(locations)
    if not verbose:
        show_rows(form, _COLUMNS, _HEADERS, [row.fields() for row in usage.rows()])
        return
    images, containers, volumes = _images(usage), _containers(usage), _volumes(usage)
    if form:
        show_object(form, {"Images": images, "Containers": containers, "Volumes": volumes, "BuildCache": []})
        return
    emit(f"Images space usage:\n\n{_table(_IMAGE_COLUMNS, images)}\n")
    emit(f"Containers space usage:\n\n{_table(_CONTAINER_COLUMNS, containers)}\n")
    emit(f"Local Volumes space usage:\n\n{_table(_VOLUME_COLUMNS, volumes)}\n")
    emit(f"Build cache usage: 0B\n\n{_NO_CACHE}\n")


def _images(usage: DiskUsage) -> list[dict[str, Any]]:
    usages = usage.image_usage()
    now = time.time()
    return [dict(ImageRow(name, now, truncate=True, usage=usages[name.image.id])) for name in names_of(usage.images)]


def _containers(usage: DiskUsage) -> list[dict[str, Any]]:
    now = time.time()
    rows = [(document["Id"], ContainerRow(document, now, truncate=True)) for document in usage.containers]
    return [{**row, "Size": human_size(usage.written[container_id])} for container_id, row in rows]


def _volumes(usage: DiskUsage) -> list[dict[str, Any]]:
    rows = [row_of(one, usage.volume_users[one.name], size) for one, size in zip(usage.volumes, usage.volume_sizes, strict=True)]
    return [{name: value for name, value in row.items() if name != "Label"} for row in rows]


def _table(columns: dict[str, str], rows: list[dict[str, Any]]) -> str:
    return table([list(columns.values()), *([str(row[name]) for name in columns] for row in rows)])
