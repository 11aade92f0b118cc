"""`rl save`: write images to an archive."""

import os
import sys

import click

from cli.transports import ignore, tell
from cli.verb import GoFlags
from rootless import events
from rootless.errors import InvalidInput
from rootless.images import reference
from rootless.images.output_file import replaced
from rootless.images.save import Note, Saved, save_docker, save_oci
from rootless.images.save_folder import save_dir, save_layout
from rootless.images.store import Image, ImageStore
from rootless.locations import from_environment

_FORMATS = ("docker-archive", "oci-archive", "docker-dir", "oci-dir")


@click.command(cls=GoFlags)
@click.option("-o", "--output", metavar="FILE", help="Write to this file, or folder, instead of standard output.")
@click.option("--format", "form", type=click.Choice(_FORMATS), default=_FORMATS[0], help="The form of the archive.")
@click.option("--compress", is_flag=True, help="Compress layers that are not compressed (docker-dir).")
@click.option("-q", "--quiet", is_flag=True, help="Do not tell of layers that are copied.")
@click.argument("names", metavar="IMAGE…", nargs=-1, required=True)
def command(*, names: tuple[str, ...], output: str | None, form: str, compress: bool, quiet: bool) -> None:
    """Write images to an archive that `load`, Docker, Podman and skopeo read."""
    if compress and form != "docker-dir":
        raise InvalidInput("--compress is for --format docker-dir", "compress an archive as a whole: rl save … | gzip")
    store = ImageStore(from_environment(os.environ, os.geteuid()))
    images = _chosen(store, names)
    note = ignore if quiet else tell
    _save(store, images, output, note, form=form, compress=compress)
    for image, saved_names in images:
        name = saved_names[0] if saved_names else image.id
        events.emit(store.locations, "image", "save", image.id, {"name": name})


def _save(store: ImageStore, images: list[Saved], output: str | None, note: Note, *, form: str, compress: bool) -> None:
    if form.endswith("-dir"):
        _save_folder(store, images, output, note, form=form, compress=compress)
        return
    write = save_docker if form == "docker-archive" else save_oci
    if output is not None:
        with replaced(output) as descriptor:
            write(store.layout, images, descriptor, note)
    elif sys.stdout.isatty():
        raise InvalidInput("will not write an archive to the terminal", "give a file: rl save -o FILE, or redirect it")
    else:
        write(store.layout, images, sys.stdout.fileno(), note)


def _chosen(store: ImageStore, names: tuple[str, ...]) -> list[Saved]:
    """Return each image once, with those of its names that were asked for; by its ID it has none."""
    found: dict[str, tuple[Image, list[str]]] = {}
    for asked in names:
        image = store.get(asked)
        name = _name_meant(asked, image)
        _, chosen = found.setdefault(image.id, (image, []))
        if name is not None and name not in chosen:
            chosen.append(name)
    return [Saved(image, tuple(chosen)) for image, chosen in found.values()]


def _name_meant(asked: str, image: Image) -> str | None:
    """Return the whole name with a tag that the user means; None for an ID or a digest."""
    try:
        wanted = reference.parse(asked)
    except InvalidInput:  # an ID
        return None
    if wanted.digest:
        return None
    if wanted.name in image.names:
        return wanted.name
    ending = f"/{wanted.path.removeprefix('library/')}:{wanted.tag}"
    return next((name for name in image.names if name.endswith(ending)), None)


def _save_folder(store: ImageStore, images: list[Saved], output: str | None, note: Note, *, form: str, compress: bool) -> None:
    if output is None:
        raise InvalidInput(f"--format {form} writes a folder", "name it: -o FOLDER")
    if form == "oci-dir":
        save_layout(store.layout, images, output, note)
        return
    if len(images) > 1:
        raise InvalidInput("a folder of the form docker-dir holds one image", "save them one by one, or use another --format")
    save_dir(store.layout, images[0], output, note, docker=True, compress=compress)
