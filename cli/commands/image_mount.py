"""`rl image mount`: mount images to read their files, inside `rl unshare`."""

from typing import Any

import click

from cli.formats import pretty_json
from cli.image_mounts import by_short_id, locations_inside, name_of
from cli.several import for_each
from cli.tables import emit, for_output
from cli.verb import Verb
from rootless.errors import InvalidInput
from rootless.images.store import ImageStore
from rootless.locations import Locations
from rootless.storage.image_mount import mount_image, mounted_images


@click.command(cls=Verb)
@click.option("-a", "--all", "everything", is_flag=True, help="Mount all images.")
@click.option("--format", "form", metavar="FORMAT", type=click.Choice(["json"]), help="'json' to list mounts as JSON.")
@click.argument("images", nargs=-1, metavar="[IMAGE…]")
def command(*, images: tuple[str, ...], everything: bool, form: str | None) -> int:
    """Mount images read-only and print where; without an image, list those that are mounted. Inside `rl unshare` only."""
    locations = locations_inside("mount")
    if everything and images:
        raise InvalidInput("give either images or --all, not both")
    store = ImageStore(locations)
    if not images and not everything:
        _list(locations, form)
        return 0
    names = [image.id for image in store.list()] if everything else images
    several = len(names) > 1

    def mount_one(name: str) -> str:
        image = store.get(name)
        path = mount_image(locations, image)
        return for_output(f"{name_of(image, name)} {path}" if several else path)

    return for_each(names, mount_one)


def _list(locations: Locations, form: str | None) -> None:
    rows: list[dict[str, Any]] = []
    for short_id, path in mounted_images(locations):
        image = by_short_id(locations, short_id)
        names = list(image.names) if image else []
        rows.append({"id": image.id if image else short_id, "Repositories": names, "mountpoint": path})
        if form is None:
            emit(for_output(f"{name_of(image, short_id)} {path}"))
    if form:
        emit(pretty_json(rows))
