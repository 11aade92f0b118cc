"""`rl wait`: wait for the end of containers, or for another state."""

import os

import click

from cli.several import for_each
from cli.verb import GoFlags
from rootless.containers import lifecycle
from rootless.errors import InvalidInput, NoSuchObject
from rootless.locations import from_environment


@click.command(cls=GoFlags)
@click.option("--condition", "conditions", multiple=True, metavar="STATE",
              help="Wait for: not-running (default), next-exit, removed, running, exited, healthy, unhealthy, …")  # fmt: skip
@click.option("-i", "--interval", default="250ms", metavar="TIME", show_default=True, help="How often to look for a state.")
@click.option("--ignore", is_flag=True, help="Print -1 for containers that do not exist.")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER…")
def command(*, containers: tuple[str, ...], conditions: tuple[str, ...], interval: str, ignore: bool) -> int:
    """Wait until containers have ended, or are in a state, and print their exit codes (-1 where they have none)."""
    locations = from_environment(os.environ, os.geteuid())

    def wait(name: str) -> str:
        try:
            return str(_wait(name))
        except NoSuchObject:
            if ignore:
                return "-1"
            raise

    def _wait(name: str) -> int:
        if not conditions:
            return lifecycle.wait(locations, name)
        from cli.durations import parse_duration  # with the option only
        from rootless.containers import waiting
        from rootless.durations import NANOSECONDS

        seconds = parse_duration(interval.lower(), "--interval") / NANOSECONDS
        if seconds <= 0:
            raise InvalidInput(f"invalid interval: {interval!r}", "give a time such as 250ms")
        return waiting.wait(locations, name, conditions, seconds)

    return for_each(containers, wait)
