"""`rl inspect`: all that is known of containers, images and volumes."""

import os
from typing import Any

import click

from cli.container_document import container_document, with_sizes
from cli.formats import pretty_json, show_object
from cli.several import for_each
from cli.tables import emit
from cli.verb import GoFlags
from rootless.containers.store import ContainerStore
from rootless.errors import InvalidInput, NoSuchObject
from rootless.locations import Locations, from_environment


@click.command(cls=GoFlags)
@click.option("-f", "--format", "form", metavar="FORMAT", help="'json', or a Go template.")
@click.option("--type", "kind", type=click.Choice(["container", "image", "volume"]), help="Look among these only.")
@click.option("-s", "--size", is_flag=True, help="Show how much disk containers take, too.")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
def command(*, names: tuple[str, ...], form: str | None, kind: str | None, size: bool) -> int:
    """Show all that is known of containers, images and volumes, as JSON."""
    return show(names, form, kind, size=size)


def show(names: tuple[str, ...], form: str | None, kind: str | None, *, size: bool) -> int:
    """Show the objects of one kind, or of any; returns the exit status."""
    locations = from_environment(os.environ, os.geteuid())
    found: list[Any] = []

    def look_up(name: str) -> None:
        document = _find(locations, name, kind)
        if size and "HostConfig" in document:
            document = with_sizes(locations, document)
        if form:
            show_object(form, document)
        else:
            found.append(document)

    status = for_each(names, look_up)
    if not form:
        emit(pretty_json(found))
    return status


def _find(locations: Locations, name: str, kind: str | None) -> Any:
    """Return a container, or else an image by name or ID, or else a volume by name."""
    if kind == "volume":
        return _find_volume(locations, name, kind)
    if kind != "image":
        try:
            return container_document(locations, ContainerStore(locations).find(name))
        except NoSuchObject:
            if kind == "container":
                raise
    from cli.image_document import image_document  # not needed for containers
    from rootless.images.store import ImageStore

    try:
        image = ImageStore(locations).find(name)
    except InvalidInput:  # not even a name that an image could have
        image = None
    if image is not None:
        return image_document(image)
    return _find_volume(locations, name, kind)


def _find_volume(locations: Locations, name: str, kind: str | None) -> Any:
    from rootless.storage.volumes import VolumeStore, inspect_document  # not needed for containers

    volume = VolumeStore(locations).find(name) if kind in {None, "volume"} else None
    if volume is None:
        raise NoSuchObject(f"No such {kind or 'object'}: {name}", "`rl ps -a`, `rl images` and `rl volume ls` list what there is")
    return inspect_document(volume)
