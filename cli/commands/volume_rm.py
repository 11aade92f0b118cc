"""`rl volume rm`: remove volumes."""

import os
from functools import partial

import click

from cli.several import for_each
from cli.verb import GoFlags
from rootless.containers.volume_users import users_of_volumes
from rootless.errors import InvalidInput, NoSuchObject
from rootless.locations import from_environment, make_private_folder
from rootless.storage import trash
from rootless.storage.volumes import VolumeStore


@click.command(cls=GoFlags)
@click.option("-a", "--all", "everything", is_flag=True, help="All volumes.")
@click.option("-f", "--force", is_flag=True, help="It is no failure that a volume does not exist.")
@click.argument("volumes", nargs=-1, metavar="VOLUME…")
def command(*, volumes: tuple[str, ...], everything: bool, force: bool) -> int:
    """Remove volumes that no container has, with all their files."""
    if bool(volumes) == everything:
        raise InvalidInput("give the names of volumes, or --all")
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    store = VolumeStore(locations)

    def remove(name: str) -> str | None:
        try:
            trashed = store.remove(name, partial(users_of_volumes, locations))
        except NoSuchObject:
            if not force:
                raise
        else:
            if trashed is not None:
                trash.delete(locations, trashed)
        return name  # also, as in Docker, of one that -f wanted gone and that was not there

    return for_each(store.names() if everything else volumes, remove)
