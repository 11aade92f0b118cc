"""`rl update`: change what was said of containers when they were made."""

import os

import click

from cli.several import for_each
from cli.verb import GoFlags
from rootless.containers import restart
from rootless.containers.store import ContainerStore
from rootless.containers.update import update
from rootless.errors import InvalidInput
from rootless.locations import from_environment


@click.command(cls=GoFlags)
@click.option("--restart", "policy", metavar="POLICY", help="Start again at the end: no, always, on-failure[:N], unless-stopped.")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER…")
def command(*, containers: tuple[str, ...], policy: str | None) -> int:
    """Change the restart policy of containers, running or not."""
    if not policy:
        raise InvalidInput("you must provide one or more flags when using this command", "--restart POLICY")
    parsed = restart.parse(policy)
    locations = from_environment(os.environ, os.geteuid())

    def update_policy(name: str) -> str:
        if parsed.name != "no" and ContainerStore(locations).find(name)["HostConfig"]["AutoRemove"]:
            raise InvalidInput("Restart policy cannot be updated because AutoRemove is enabled for the container")
        update(locations, name, parsed.as_json)
        return name

    return for_each(containers, update_policy)
