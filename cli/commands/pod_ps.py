"""`rl pod ps`: list pods."""

import os
import time
from typing import Final

import click

from cli.durations import ago
from cli.formats import show_rows
from cli.pod_document import pod_document
from cli.several import warn
from cli.tables import emit
from cli.verb import Verb
from rootless.containers import pod_members
from rootless.containers.store import ContainerStore
from rootless.locations import from_environment

_COLUMNS: Final = ("ID", "Name", "Status", "Created", "InfraID", "NumberOfContainers")
_HEADERS: Final = {
    "ID": "POD ID",
    "Name": "NAME",
    "Status": "STATUS",
    "Created": "CREATED",
    "InfraID": "INFRA ID",
    "NumberOfContainers": "# OF CONTAINERS",
}


@click.command(cls=Verb)
@click.option("--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json', or a Go template.")
@click.option("--no-trunc", is_flag=True, help="Do not truncate output.")
@click.option("-q", "--quiet", is_flag=True, help="Only show pod IDs.")
def command(*, form: str | None, no_trunc: bool, quiet: bool) -> None:
    """List pods."""
    documents = ContainerStore(from_environment(os.environ, os.geteuid())).list(on_damaged=warn)
    width = None if no_trunc else 12
    found = [pod_document(infra, containers) for infra, containers in pod_members.pods(documents)]
    if quiet and not form:
        for pod in found:
            emit(pod["Id"][:width])
        return
    now = time.time()
    rows = [
        {
            "ID": pod["Id"][:width],
            "Name": pod["Name"],
            "Status": pod["State"],
            "Created": ago(pod["Created"], now),
            "InfraID": pod["InfraContainerID"][:width],
            "NumberOfContainers": str(pod["NumContainers"]),
        }
        for pod in found
    ]
    show_rows(form, _COLUMNS, _HEADERS, rows)
