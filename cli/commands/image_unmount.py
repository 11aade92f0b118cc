"""`rl image unmount`: unmount images, inside `rl unshare`."""

import click

from cli.image_mounts import locations_inside
from cli.several import for_each
from cli.verb import Verb
from rootless.errors import InvalidInput
from rootless.images.store import ImageStore
from rootless.storage.image_mount import mounted_images, unmount_image


@click.command(cls=Verb)
@click.option("-a", "--all", "everything", is_flag=True, help="Unmount all images.")
@click.argument("images", nargs=-1, metavar="[IMAGE…]")
def command(*, images: tuple[str, ...], everything: bool) -> int:
    """Unmount images that `rl image mount` mounted in the same `rl unshare`."""
    locations = locations_inside("unmount")
    if everything == bool(images):
        raise InvalidInput("give images to unmount, or --all" if not images else "give either images or --all, not both")
    store = ImageStore(locations)

    def unmount_one(name: str) -> str:
        image = store.get(name)
        unmount_image(locations, image)
        return image.id.removeprefix("sha256:")

    return for_each([mount.short_id for mount in mounted_images(locations)] if everything else images, unmount_one)
