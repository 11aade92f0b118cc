"""`rl commit`: make an image of a container."""

import os

import click

from cli.tables import emit
from cli.verb import Verb
from rootless.containers.commit import CommitOptions, commit
from rootless.errors import NodeLacks
from rootless.locations import from_environment, make_private_folder


@click.command(cls=Verb)
@click.option("-a", "--author", default="", metavar="TEXT", help="The image's author, such as 'Ann <ann@example.org>'.")
@click.option("-c", "--change", "changes", multiple=True, metavar="INSTRUCTION", help="Apply a Dockerfile instruction.")
@click.option("-m", "--message", default="", metavar="TEXT", help="The comment of the image's history.")
@click.option("-p", "--pause", is_flag=True, help="Refused: pausing needs a delegated cgroup.")
@click.option("-q", "--quiet", is_flag=True, help="Accepted as in Podman: only the ID is printed anyhow.")
@click.argument("container", metavar="CONTAINER")
@click.argument("name", metavar="[NAME[:TAG]]", required=False)
def command(
    *, container: str, name: str | None, author: str, changes: tuple[str, ...], message: str, pause: bool, quiet: bool  # noqa: ARG001
) -> None:
    """Make an image of a container's image and what it changed, and print its ID; a running one goes on meanwhile."""
    if pause:
        raise NodeLacks("cannot pause the container: no cgroup is delegated to it", "leave out --pause, or stop it first")
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    emit(commit(locations, container, name, CommitOptions(author, message, changes)).id)
