"""`rl rmi`: remove images and their names."""

import os
from functools import partial

import click

from cli.several import for_each
from cli.tables import for_output
from rootless.containers.store import containers_using_image
from rootless.errors import NoSuchObject
from rootless.images.remove import remove
from rootless.locations import from_environment, make_private_folder


@click.command()
@click.option("-f", "--force", is_flag=True, help="Also images in use (their names only); unknown ones are no error.")
@click.argument("images", metavar="IMAGE…", nargs=-1, required=True)
def command(*, images: tuple[str, ...], force: bool) -> int:
    """Remove names of images, and images with their last name."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    users_of = partial(containers_using_image, locations)

    def remove_one(name: str) -> str | None:
        try:
            removed = remove(locations, name, users_of, force=force)
        except NoSuchObject:
            if force:  # as `rm -f`
                return None
            raise
        lines = [*(f"Untagged: {text}" for text in removed.untagged), *(f"Deleted: {text}" for text in removed.deleted)]
        return for_output("\n".join(lines))

    return for_each(images, remove_one)
