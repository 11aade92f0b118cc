"""`rl restart`: stop containers and start them again, with the files and logs that they have."""

import os

import click

from cli.choosing import Chosen, choose
from cli.session import detached_start
from cli.several import for_each
from cli.verb import GoFlags
from rootless.containers import lifecycle
from rootless.locations import from_environment, make_private_folder
from rootless.runtime.signals import signal_number


@click.command(cls=GoFlags)
@click.option("-a", "--all", "take_all", is_flag=True, help="Restart all containers that run.")
@click.option("-s", "--signal", "signal_name", metavar="SIGNAL", help="The signal to send first (default: the container's).")
@click.option("-t", "--timeout", "--time", type=int, metavar="SECONDS", help="How long to wait before SIGKILL; -1: for ever.")
@click.argument("containers", nargs=-1, metavar="CONTAINER…")
def command(*, containers: tuple[str, ...], take_all: bool, signal_name: str | None, timeout: int | None) -> int:
    """Restart containers; one that does not run is started."""
    if signal_name is not None:
        signal_number(signal_name)  # refused before anything is stopped
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    seconds = lifecycle.grace(timeout)

    def restart(name: str) -> str:
        running = lifecycle.restart(locations, name, signal_name, seconds)
        if running is not None:
            detached_start(running)
        return name

    names = choose(locations, containers, Chosen(take_all=take_all, running=True))
    return for_each(names, restart)
