"""`rl cp`: copy files into and out of containers."""

import os
import sys

import click

from cli.several import report
from cli.verb import Verb
from rootless.containers.copying.copies import CopyOptions, Location, copy
from rootless.errors import InvalidInput
from rootless.locations import from_environment, make_private_folder


@click.command(cls=Verb)
@click.option("-a", "--archive", is_flag=True, help="Keep owners and groups.")
@click.option("-L", "--follow-link", is_flag=True, help="Copy what a symbolic link SOURCE leads to.")
@click.option("-q", "--quiet", is_flag=True, help="Accepted as in Docker: no progress is shown anyhow.")
@click.argument("source", metavar="[CONTAINER:]SOURCE|-")
@click.argument("target", metavar="[CONTAINER:]TARGET|-")
def command(*, source: str, target: str, archive: bool, follow_link: bool, quiet: bool) -> int:  # noqa: ARG001 - see its help
    """Copy a file or folder between a container, running or not, and the node, or another container.

    A folder that ends in /. means what it holds. - is a tar on standard input or output.
    """
    locations = from_environment(os.environ, os.geteuid())
    reading, writing = _location(source), _location(target)
    if writing.is_stream and sys.stdout.isatty():
        raise InvalidInput("will not write a tar to the terminal", "redirect it, or give a path")
    if reading.is_stream and sys.stdin.isatty():
        raise InvalidInput("will not read a tar from the terminal", "pipe one in, or give a path")
    make_private_folder(locations.runtime_dir)
    try:
        copy(locations, reading, writing, CopyOptions(archive, follow_link))
    except OSError as error:  # of a file on either side, and no failure of the engine
        return report(error)
    return 0


def _location(text: str) -> Location:
    """Take CONTAINER:PATH apart; what begins with / or . is a path of the node, as is what has no colon (Docker's rule)."""
    container, colon, path = text.partition(":")
    if not colon or text.startswith(("/", ".")):
        if not text:
            raise InvalidInput("a path is empty", "give PATH, CONTAINER:PATH or -")
        return Location(None, text)
    if not container or not path:
        raise InvalidInput(f"malformed path: {text!r}", "write CONTAINER:PATH, or ./PATH for a file with a colon in its name")
    return Location(container, path)
