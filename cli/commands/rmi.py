"""`rl rmi`: remove images and their names."""

import os
from functools import cache, partial

import click

from cli.several import for_each
from cli.tables import for_output
from cli.verb import GoFlags
from rootless.containers.store import ContainerStore, images_of
from rootless.errors import InvalidInput, NoSuchObject, RlError
from rootless.images.listing import list_images
from rootless.images.remove import remove_all
from rootless.images.store import ImageStore
from rootless.locations import Locations, from_environment, make_private_folder


@click.command(cls=GoFlags)
@click.option("-a", "--all", "everything", is_flag=True, help="All images.")
@click.option("-f", "--force", is_flag=True, help="Also images in use (their names only); unknown ones are no error.")
@click.option("-i", "--ignore", is_flag=True, help="Unknown images are no error.")
@click.option("--no-prune", is_flag=True, help="Do not delete untagged parents (as Docker has it; here no image has a parent).")
@click.argument("images", metavar="[IMAGE…]", nargs=-1)
def command(*, images: tuple[str, ...], everything: bool, force: bool, ignore: bool, no_prune: bool) -> int:  # noqa: ARG001
    """Remove names of images, and images with their last name."""
    if everything == bool(images):
        raise InvalidInput("give images to remove, or --all" if not images else "give either images or --all, not both")
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    users = cache(partial(_users_by_image, locations))
    names = [image.id for image in list_images(ImageStore(locations))] if everything else images
    removed = remove_all(locations, names, lambda image_id: users().get(image_id, []), force=force, whole=everything)
    outcomes = iter(removed)

    def tell(_name: str) -> str | None:
        outcome = next(outcomes)
        if isinstance(outcome, NoSuchObject) and (force or ignore or everything):  # as `rm -f`; or somebody else was faster
            return None
        if isinstance(outcome, RlError):
            raise outcome
        lines = [*(f"Untagged: {text}" for text in outcome.untagged), *(f"Deleted: {text}" for text in outcome.deleted)]
        return for_output("\n".join(lines))

    return for_each(names, tell)


def _users_by_image(locations: Locations) -> dict[str, list[str]]:
    """Return the IDs of containers by the IDs of their images."""
    users: dict[str, list[str]] = {}
    for document in ContainerStore(locations).list():
        for image_id in images_of(document):
            users.setdefault(image_id, []).append(document["Id"])
    return users
