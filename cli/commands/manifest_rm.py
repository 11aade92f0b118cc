"""`rl manifest rm`: remove image lists."""

import os
from functools import partial

import click

from cli.several import for_each
from cli.tables import for_output
from cli.verb import GoFlags
from rootless.containers.store import containers_using_image
from rootless.images import manifest_list
from rootless.images.remove import remove
from rootless.locations import from_environment, make_private_folder


@click.command(cls=GoFlags)
@click.argument("lists", nargs=-1, required=True, metavar="LIST…")
def command(*, lists: tuple[str, ...]) -> int:
    """Remove image lists; images of the store that they name stay."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    users_of = partial(containers_using_image, locations)

    def remove_one(name: str) -> str:
        manifest_list.find(locations, name)  # an image is not removed
        removed = remove(locations, name, users_of)
        lines = [*(f"Untagged: {text}" for text in removed.untagged), *(f"Deleted: {text}" for text in removed.deleted)]
        return for_output("\n".join(lines))

    return for_each(lists, remove_one)
