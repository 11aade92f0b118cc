"""`rl create`: make a container from an image, to be started later."""

import os

import click

from cli import image_for_container
from cli.create_options import CONTEXT, takes_create_options, to_create_options
from cli.session import warn_about_maps
from cli.tables import emit
from cli.verb import GoFlags
from rootless.containers import lifecycle
from rootless.containers.create import create
from rootless.containers.pod_options import in_pod
from rootless.locations import from_environment, make_private_folder


@click.command(cls=GoFlags, context_settings=CONTEXT)
@takes_create_options
def command(*, image: str, command: tuple[str, ...], **options: object) -> None:
    """Make a container from IMAGE for COMMAND, and print its ID; `rl start` starts it."""
    locations = from_environment(os.environ, os.geteuid())
    wanted = to_create_options(command, options)
    make_private_folder(locations.runtime_dir)
    warn_about_maps()
    found, image_name = image_for_container.find(locations, image, wanted)
    with lifecycle.signals_held():
        document, lock = create(locations, os.environ, found, image_name, in_pod(locations, wanted), started_at_once=False)
        lock.release()
    emit(document["Id"])
