"""`rl images`: list the images of the store."""

import os
import time

import click

from cli.formats import show_rows
from cli.image_rows import COLUMNS, DIGEST_COLUMNS, HEADERS, ImageName, ImageRow, names_of
from cli.tables import emit
from cli.verb import Verb
from rootless.images import reference
from rootless.images.listing import ListedImage, list_images
from rootless.images.store import ImageStore
from rootless.locations import from_environment

_PATTERN = frozenset("*?[\\")


@click.command(cls=Verb)
@click.option("-a", "--all", "_all", is_flag=True, help="Also show images without a name (they are always shown).")
@click.option("--digests", is_flag=True, help="Show the digests that registries gave.")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Show those that match (dangling, label, …).")
@click.option("--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json', or a Go template.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten IDs.")
@click.option("-q", "--quiet", is_flag=True, help="Show only IDs.")
@click.argument("repository", required=False, metavar="[REPOSITORY[:TAG]]")
def command(
    *, repository: str | None, filters: tuple[str, ...], form: str | None, quiet: bool, no_trunc: bool, digests: bool, _all: bool
) -> None:
    """List images, the newest first."""
    names = _choose(ImageStore(from_environment(os.environ, os.geteuid())), repository, filters)
    now = time.time()
    rows = [ImageRow(name, now, truncate=not no_trunc) for name in names]
    if quiet and not form:
        for identifier in dict.fromkeys(row["ID"] for row in rows):
            emit(identifier)
        return
    show_rows(form, DIGEST_COLUMNS if digests else COLUMNS, HEADERS, rows)


def _choose(store: ImageStore, repository: str | None, filters: tuple[str, ...]) -> list[ImageName]:
    """Return the names to list, those of the newest image first."""
    images = sorted(list_images(store), key=lambda image: image.created, reverse=True)
    if not filters:
        return [name for name in names_of(images) if _is_wanted(name, repository)]
    from cli.image_filters import OF_IMAGES, ImageFilters, parse_filters  # with the option only

    chosen = ImageFilters(parse_filters(filters, OF_IMAGES), store, images)
    passing: list[ListedImage] = [image for image in images if chosen.passes(image)]
    return [name for name in names_of(passing) if _is_wanted(name, repository) and chosen.names_pass(name)]


def _is_wanted(name: ImageName, wanted: str | None) -> bool:
    """Tell whether a name is of the repository, is the name, or fits the pattern, that the user asks for."""
    if wanted is None:
        return True
    if _PATTERN & set(wanted):
        from cli.image_filters import fits_reference  # only for a pattern

        return fits_reference(wanted, name)
    parsed = reference.parse(wanted)
    tag_fits = name.tag == parsed.tag if reference.has_tag(wanted) else True
    digest_fits = parsed.digest in {None, name.digest}
    return name.repository == reference.familiar(parsed.repository) and tag_fits and digest_fits
