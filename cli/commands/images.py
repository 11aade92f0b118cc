"""`rl images`: list the images of the store."""

import os
import time
from collections.abc import Iterator
from typing import NamedTuple

import click

from cli.durations import ago
from cli.sizes import human_size
from cli.tables import emit, table
from rootless.images import reference
from rootless.images.store import Image, ImageStore
from rootless.locations import from_environment

_NONE = "<none>"


class Row(NamedTuple):
    """One name of an image, as Docker lists it."""

    repository: str
    tag: str
    digest: str
    image: Image


@click.command()
@click.option("-a", "--all", "_all", is_flag=True, help="Also show images without a name (they are always shown).")
@click.option("-q", "--quiet", is_flag=True, help="Show only IDs.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten IDs.")
@click.option("--digests", is_flag=True, help="Show the digests that registries gave.")
@click.argument("repository", required=False, metavar="[REPOSITORY[:TAG]]")
def command(*, repository: str | None, quiet: bool, no_trunc: bool, digests: bool, _all: bool) -> None:
    """List images, the newest first."""
    store = ImageStore(from_environment(os.environ, os.geteuid()))
    images = sorted(store.list(), key=lambda image: image.created, reverse=True)
    rows = [row for image in images for row in _rows(image) if _is_wanted(row, repository)]
    if quiet:
        for identifier in dict.fromkeys(_identifier(row, whole=no_trunc) for row in rows):
            emit(identifier)
        return
    now = time.time()
    header = ["REPOSITORY", "TAG", *(["DIGEST"] if digests else []), "IMAGE ID", "CREATED", "SIZE"]
    lines = [
        [
            row.repository,
            row.tag,
            *([row.digest] if digests else []),
            _identifier(row, whole=no_trunc),
            _age(row.image.created, now),
            human_size(row.image.size),
        ]
        for row in rows
    ]
    emit(table([header, *lines]))


def _rows(image: Image) -> Iterator[Row]:
    """Yield a row a name; for an image without tags one a repository digest, else one with `<none>`."""
    digests = dict(name.split("@", 1) for name in image.repo_digests)
    for name in image.names:
        repository, tag, _ = reference.split_name(name)
        yield Row(reference.familiar(repository), tag or _NONE, digests.get(repository, _NONE), image)
    if image.names:
        return
    for repository, digest in digests.items():
        yield Row(reference.familiar(repository), _NONE, digest, image)
    if not digests:
        yield Row(_NONE, _NONE, _NONE, image)


def _is_wanted(row: Row, wanted: str | None) -> bool:
    """Tell whether a row is of the repository, or the name, that the user asks for."""
    if wanted is None:
        return True
    parsed = reference.parse(wanted)
    tag_fits = row.tag == parsed.tag if reference.has_tag(wanted) else True
    digest_fits = parsed.digest in {None, row.digest}
    return row.repository == reference.familiar(parsed.repository) and tag_fits and digest_fits


def _identifier(row: Row, *, whole: bool) -> str:
    return row.image.id if whole else row.image.id.removeprefix("sha256:")[:12]


def _age(created: str, now: float) -> str:
    """Return how long ago an image was made; its config says so, and may say anything."""
    try:
        return ago(created, now)
    except ValueError:
        return "N/A"
