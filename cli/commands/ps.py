"""`rl ps`: list containers."""

import os
import time

import click

from cli.container_rows import COLUMNS, HEADERS, ContainerRow
from cli.formats import show_rows
from cli.several import warn
from cli.tables import emit
from cli.verb import GoFlags
from rootless.containers.documents import Document, has_begun
from rootless.containers.store import ContainerStore
from rootless.locations import from_environment


@click.command(cls=GoFlags)
@click.option("-a", "--all", "show_all", is_flag=True, help="Show all containers, not just running ones.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Show those that match (name, id, status, …).")
@click.option("--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json', or a Go template.")
@click.option("-n", "--last", type=int, default=-1, metavar="N", help="Show the N containers created last, in any state.")
@click.option("-l", "--latest", is_flag=True, help="Show the container created last, in any state.")
@click.option("--no-trunc", is_flag=True, help="Do not truncate output.")
@click.option("-q", "--quiet", is_flag=True, help="Only show container IDs.")
@click.option("-s", "--size", is_flag=True, help="Show what containers wrote, and that with their images.")
def command(
    *,
    show_all: bool,
    filters: tuple[str, ...],
    form: str | None,
    last: int,
    latest: bool,
    no_trunc: bool,
    quiet: bool,
    size: bool,
) -> int:
    """List containers."""
    limit = 1 if latest else last
    store = ContainerStore(from_environment(os.environ, os.geteuid()))
    documents = _choose(store.list(on_damaged=warn), filters, limit, show_all=show_all)
    if quiet and not form:
        for document in documents:
            emit(document["Id"] if no_trunc else document["Id"][:12])
        return 0
    now = time.time()
    sizes: dict[str, str] = {}
    if size or (form is not None and ".Size" in form):
        from cli.container_sizes import sizes_of  # looks at all files

        sizes = sizes_of(store.locations, documents)
    columns = (*COLUMNS, "Size") if size else COLUMNS
    rows = [ContainerRow(one, now, truncate=not no_trunc, size=sizes.get(one["Id"], "0B")) for one in documents]
    show_rows(form, columns, HEADERS, rows)
    return 0


def _choose(documents: list[Document], filters: tuple[str, ...], limit: int, *, show_all: bool) -> list[Document]:
    """Return what is to be listed of all containers, which come newest first."""
    if filters:
        from cli.container_filters import Filters  # with the option only

        parsed = Filters(filters)
        documents = parsed.apply(documents)
        show_all = show_all or parsed.names_status
    if limit > 0:
        return documents[:limit]
    return documents if show_all else [document for document in documents if has_begun(document["State"])]
