"""`rl stop`: end containers, politely first."""

import os

import click

from cli.several import FAILED, for_each, report
from cli.tables import emit
from rootless.containers import lifecycle
from rootless.containers.documents import Document
from rootless.containers.store import ContainerStore
from rootless.errors import RlError
from rootless.locations import Locations, from_environment
from rootless.runtime.signals import signal_number

_FOR_EVER = 2_000_000.0
"""Seconds; poll(2) takes milliseconds in an int."""


@click.command()
@click.option("-s", "--signal", "signal_name", metavar="SIGNAL", help="The signal to send first (default: the image's, or TERM).")
@click.option("-t", "--timeout", "--time", type=int, default=int(lifecycle.STOP_SECONDS), metavar="SECONDS", show_default=True,
              help="How long to wait before SIGKILL; -1: for ever.")  # fmt: skip
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER…")
def command(*, containers: tuple[str, ...], signal_name: str | None, timeout: int) -> int:
    """Stop running containers: send a signal, and SIGKILL when that does not end them in time."""
    locations = from_environment(os.environ, os.geteuid())
    store = ContainerStore(locations)
    found: dict[str, Document] = {}
    if signal_name is not None:
        signal_number(signal_name)  # refused before anything is stopped

    def find(name: str) -> None:
        found[name] = store.find(name)
        if signal_name is not None:
            found[name]["Config"]["StopSignal"] = signal_name  # in our copy only: what `lifecycle.stop` sends

    status = for_each(containers, find)
    return _stop_all(locations, found, float(timeout) if timeout >= 0 else _FOR_EVER) or status


def _stop_all(locations: Locations, found: dict[str, Document], seconds: float) -> int:
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


def _stop(locations: Locations, name: str, document: Document, seconds: float) -> str:
    lifecycle.stop(locations, document, seconds)
    return name
