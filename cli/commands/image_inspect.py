"""`rl image inspect`: all that is known of images."""

import os
from typing import Any

import click

from cli.formats import pretty_json, show_object
from cli.image_document import image_document
from cli.several import for_each
from cli.tables import emit
from cli.verb import GoFlags
from rootless.images.store import ImageStore
from rootless.locations import from_environment


@click.command(cls=GoFlags)
@click.option("-f", "--format", "form", metavar="FORMAT", help="'json', or a Go template.")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
def command(*, images: tuple[str, ...], form: str | None) -> int:
    """Show all that is known of images, as JSON."""
    store = ImageStore(from_environment(os.environ, os.geteuid()))
    found: list[Any] = []

    def look_up(name: str) -> None:
        document = image_document(store.get(name))
        if form:
            show_object(form, document)
        else:
            found.append(document)

    status = for_each(images, look_up)
    if not form:
        emit(pretty_json(found))
    return status
