"""`rl unshare`: a shell or a command in the namespace that containers' files belong to."""

import os

import click

from cli.verb import GoFlags
from rootless.locations import from_environment, make_private_folder
from rootless.namespaces.inside import run_inside


@click.command(cls=GoFlags, context_settings={"allow_interspersed_args": False})
@click.argument("arguments", nargs=-1, metavar="[COMMAND [ARG…]]")
def command(*, arguments: tuple[str, ...]) -> int:
    """Run a command, by default $SHELL, as root of your user namespace: it owns all files of your containers.

    It has a mount namespace of its own, in which `rl image mount` works.
    """
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    return run_inside(locations, arguments or (os.environ.get("SHELL") or "/bin/sh",), os.environ)
