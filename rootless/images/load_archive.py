"""From a file, folder or pipe with images to images of the store: `rl load`, and the archives among the transports."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, NamedTuple

from rootless import events
from rootless.errors import CorruptImage, InvalidInput, os_error_text
from rootless.images import additions
from rootless.images.archive_errors import of_archive
from rootless.images.archive_images import ArchivedImage, archived_images, check_names, transport_of, whole_name
from rootless.images.archive_members import FolderMembers, Keeper, Members, open_file
from rootless.images.compression import Limits
from rootless.images.load import Wanted, load_images
from rootless.images.platform import Platform
from rootless.images.store import Image, ImageStore
from rootless.images.trust.policy import ANYTHING, Policy, enforce_unsigned
from rootless.locations import Locations

Choose = Callable[[list[ArchivedImage]], Sequence[Wanted]]


class Loaded(NamedTuple):
    """An image of the store, and the names that the archive gave it; none: it has at most those that it had."""

    image: Image
    names: tuple[str, ...]


def load_archive(
    locations: Locations,
    source: str | BinaryIO,
    choose: Choose | None = None,
    *,
    platform: Platform | None = None,
    note: Callable[[str], None] = lambda _text: None,
    warn: Callable[[str], None] = lambda _text: None,
    limits: Limits = Limits(),  # noqa: B008 - immutable
    policy: Policy = ANYTHING,
) -> list[Loaded]:
    """Bring the images of an archive into the store and return them, in the archive's order.

    `source` is the path of a tar (plain, gzip, zstd, xz, bzip2) or of a folder, or a stream with a tar; docker-archives, OCI
    layouts and folders of skopeo's `dir:` are told apart by what is in them. `choose` picks images and names, by default all with
    theirs. Of an index the image for `platform` is taken (by default this machine's). `note` is told what is done, `warn` what
    cannot be unpacked as it is, in words. `policy` says whether it may come in. The caller is single-threaded. Raises
    `InvalidInput` (cannot be opened), `CorruptImage` naming the member, `RefusedByPolicy`, `NoSuchObject`, `NodeLacks`, `OSError`;
    nothing is kept then.
    """
    store = ImageStore(locations)
    shown = source if isinstance(source, str) else "standard input"
    try:
        with additions.adding(locations), Keeper(store.layout) as keeper, _opened(source, keeper, limits) as members:
            images = archived_images(members, platform)
            check_names(images)
            path = os.path.abspath(source) if isinstance(source, str) else ""
            enforce_unsigned(policy, transport_of(members, is_folder=os.path.isdir(path)), path)
            wanted = (choose or everything)(images)
            found = load_images(store, members, keeper, wanted, note, warn)
    except CorruptImage as error:
        raise of_archive(error, f"load {shown}") from error
    for image, one in zip(found, wanted, strict=True):
        events.emit(locations, "image", "load", image.id, {"name": one.names[0] if one.names else image.id})
    return [Loaded(image, one.names) for image, one in zip(found, wanted, strict=True)]


def everything(images: list[ArchivedImage]) -> list[Wanted]:
    """Choose all images with all their names; an image that is listed several times once."""
    return [
        Wanted(image, tuple(dict.fromkeys(name for one in image.names if (name := whole_name(image, one, None)))))
        for image in images
    ]


@contextlib.contextmanager
def _opened(source: str | BinaryIO, keeper: Keeper, limits: Limits) -> Iterator[Members]:
    if not isinstance(source, str):
        yield open_file(source, keeper, limits)
    elif os.path.isdir(source):
        folder = FolderMembers(source, keeper)
        try:
            yield folder
        finally:
            folder.close()
    else:
        try:
            file = open(source, "rb")  # noqa: SIM115 - the `with` is outside of the `try`
        except OSError as error:
            raise InvalidInput(f"cannot open the archive: {os_error_text(error)}") from error
        with file:
            yield open_file(file, keeper, limits)
