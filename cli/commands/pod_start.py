"""`rl pod start`: start all containers of pods."""

import os

import click

from cli.several import for_each
from cli.verb import Verb
from rootless.containers import pod_members
from rootless.locations import from_environment, make_private_folder


@click.command(cls=Verb)
@click.argument("pods", nargs=-1, required=True, metavar="POD…")
def command(*, pods: tuple[str, ...]) -> int:
    """Start all containers of pods."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)

    def start(name: str) -> str:
        infra = pod_members.find(locations, name)
        for one in (infra, *reversed(pod_members.members(locations, infra["Id"]))):
            pod_members.start(locations, one["Id"])
        return infra["Id"]

    return for_each(pods, start)
