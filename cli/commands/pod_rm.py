"""`rl pod rm`: remove pods."""

import os

import click

from cli.several import for_each
from cli.verb import Verb
from rootless.containers import pod_members
from rootless.locations import from_environment


@click.command(cls=Verb)
@click.option("-f", "--force", is_flag=True, help="Remove it also when containers of it run: they are killed.")
@click.argument("pods", nargs=-1, required=True, metavar="POD…")
def command(*, pods: tuple[str, ...], force: bool) -> int:
    """Remove pods with all their containers."""
    locations = from_environment(os.environ, os.geteuid())

    def remove(name: str) -> str:
        infra = pod_members.find(locations, name)
        pod_members.remove(locations, infra, force=force)
        return infra["Id"]

    return for_each(pods, remove)
