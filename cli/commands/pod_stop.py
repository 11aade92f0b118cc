"""`rl pod stop`: stop all containers of pods."""

import os

import click

from cli.several import for_each
from cli.verb import Verb
from rootless.containers import lifecycle, pod_members
from rootless.locations import from_environment


@click.command(cls=Verb)
@click.option("-t", "--time", "seconds", type=int, metavar="SECONDS", help="How long each may take before SIGKILL.")
@click.argument("pods", nargs=-1, required=True, metavar="POD…")
def command(*, pods: tuple[str, ...], seconds: int | None) -> int:
    """Stop all containers of pods, and then what holds their namespaces."""
    locations = from_environment(os.environ, os.geteuid())

    def stop(name: str) -> str:
        infra = pod_members.find(locations, name)
        for one in (*pod_members.members(locations, infra["Id"]), infra):
            lifecycle.stop(locations, one, lifecycle.grace(seconds))
        return infra["Id"]

    return for_each(pods, stop)
