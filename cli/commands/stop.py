"""`rl stop`: end containers, politely first."""

import os

import click

from cli.choosing import Chosen, choose, read_ids
from cli.several import FAILED, for_each, report
from cli.tables import emit
from cli.verb import GoFlags
from rootless.containers import lifecycle
from rootless.containers.documents import Document
from rootless.containers.store import ContainerStore
from rootless.errors import NoSuchObject, RlError
from rootless.locations import Locations, from_environment
from rootless.runtime.signals import signal_number


@click.command(cls=GoFlags)
@click.option("-a", "--all", "take_all", is_flag=True, help="Stop all containers that run.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Stop those that match, as of rl ps.")
@click.option("--cidfile", "cid_files", multiple=True, metavar="FILE", help="Stop the container whose ID is in a file.")
@click.option("-i", "--ignore", is_flag=True, help="Take containers that do not exist for stopped.")
@click.option("-s", "--signal", "signal_name", metavar="SIGNAL", help="The signal to send first (default: the container's).")
@click.option("-t", "--timeout", "--time", type=int, metavar="SECONDS",
              help="How long to wait before SIGKILL (default: the container's, or 10); -1: for ever.")  # fmt: skip
@click.argument("containers", nargs=-1, metavar="CONTAINER…")
def command(
    *,
    containers: tuple[str, ...],
    take_all: bool,
    filters: tuple[str, ...],
    cid_files: tuple[str, ...],
    ignore: bool,
    signal_name: str | None,
    timeout: int | None,
) -> int:
    """Stop running containers: send a signal, and SIGKILL when that does not end them in time."""
    locations = from_environment(os.environ, os.geteuid())
    store = ContainerStore(locations)
    found: dict[str, Document] = {}
    if signal_name is not None:
        signal_number(signal_name)  # refused before anything is stopped

    def find(name: str) -> None:
        try:
            document = store.find(name)
        except NoSuchObject:
            if ignore:
                return
            raise
        if signal_name is not None:
            document["Config"]["StopSignal"] = signal_name  # in our copy only: what `lifecycle.stop` sends
        found[name] = document

    named = (*containers, *read_ids(cid_files))
    status = for_each(choose(locations, named, Chosen(take_all, filters, running=True)), find)
    seconds = lifecycle.grace(timeout)
    return _stop_all(locations, found, seconds) or status


def _stop_all(locations: Locations, found: dict[str, Document], seconds: float | None) -> int:
    """Stop several containers at the same time: ten that ignore the signal take ten seconds, not a hundred."""
    if len(found) == 1:
        return for_each(found, lambda name: _stop(locations, name, found[name], seconds))
    from concurrent.futures import ThreadPoolExecutor  # for several only: 10 ms

    status = 0
    with ThreadPoolExecutor(max_workers=50) as pool:
        futures = {name: pool.submit(_stop, locations, name, document, seconds) for name, document in found.items()}
        for name, future in futures.items():
            try:
                future.result()
            except (RlError, OSError) as error:
                status = report(error) or FAILED
            else:
                emit(name)
    return status


def _stop(locations: Locations, name: str, document: Document, seconds: float | None) -> str:
    lifecycle.stop(locations, document, seconds)
    return name
