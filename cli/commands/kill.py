"""`rl kill`: send a signal to containers."""

import os

import click

from cli.choosing import Chosen, choose, read_ids
from cli.several import for_each
from cli.verb import GoFlags
from rootless.containers import lifecycle
from rootless.containers.store import ContainerStore
from rootless.locations import from_environment
from rootless.runtime.signals import signal_number


@click.command(cls=GoFlags)
@click.option("-a", "--all", "take_all", is_flag=True, help="All containers that run.")
@click.option("--cidfile", "cid_files", multiple=True, metavar="FILE", help="The container whose ID is in a file.")
@click.option("-s", "--signal", "signal_name", default="KILL", metavar="SIGNAL", show_default=True, help="The signal to send.")
@click.argument("containers", nargs=-1, metavar="CONTAINER…")
def command(*, containers: tuple[str, ...], take_all: bool, cid_files: tuple[str, ...], signal_name: str) -> int:
    """Send a signal to the first process of running containers."""
    number = signal_number(signal_name)
    locations = from_environment(os.environ, os.geteuid())
    store = ContainerStore(locations)

    def kill(name: str) -> str:
        lifecycle.kill(locations, store.find(name), number)
        return name

    return for_each(choose(locations, (*containers, *read_ids(cid_files)), Chosen(take_all, running=True)), kill)
