"""What `rl images` shows of an image: the fields of Docker's formatter, a row a name."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from cli.durations import ago, created_at
from cli.sizes import human_size
from rootless.images import reference
from rootless.images.listing import ListedImage

NONE: Final = "<none>"
NOT_AVAILABLE: Final = "N/A"
COLUMNS: Final = ("Repository", "Tag", "ID", "CreatedSince", "Size")
DIGEST_COLUMNS: Final = ("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
HEADERS: Final = {
    "Containers": "CONTAINERS",
    "CreatedAt": "CREATED AT",
    "CreatedSince": "CREATED",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "Repository": "REPOSITORY",
    "SharedSize": "SHARED SIZE",
    "Size": "SIZE",
    "Tag": "TAG",
    "UniqueSize": "UNIQUE SIZE",
    "VirtualSize": "SIZE",
}

_SHORT_ID: Final = 12


class ImageName(NamedTuple):
    """One name of an image: familiar repository, tag and digest, each `<none>` where there is none."""

    repository: str
    tag: str
    digest: str
    image: ListedImage


class Usage(NamedTuple):
    """What `rl system df -v` adds: bytes shared with other images and not, and how many containers use the image."""

    shared: int
    unique: int
    containers: int


class ImageRow(Mapping[str, Any]):
    """One name of an image; `now` is seconds since the epoch."""

    def __init__(self, name: ImageName, now: float, *, truncate: bool, usage: Usage | None = None) -> None:
        self.name = name
        self.now = now
        self.truncate = truncate
        self.usage = usage

    def __getitem__(self, field: str) -> Any:
        return _FIELDS[field](self)

    def __iter__(self) -> Iterator[str]:
        return iter(_FIELDS)

    def __len__(self) -> int:
        return len(_FIELDS)


_FIELDS: Final[Mapping[str, Callable[[ImageRow], str]]] = {
    "Containers": lambda row: str(row.usage.containers) if row.usage else NOT_AVAILABLE,
    "CreatedAt": lambda row: _time(row.name.image.created, created_at),
    "CreatedSince": lambda row: _time(row.name.image.created, lambda created: ago(created, row.now)),
    "Digest": lambda row: row.name.digest,
    "ID": lambda row: short_id(row.name.image.id) if row.truncate else row.name.image.id,
    "Repository": lambda row: row.name.repository,
    "SharedSize": lambda row: human_size(row.usage.shared) if row.usage else NOT_AVAILABLE,
    "Size": lambda row: human_size(row.name.image.size),
    "Tag": lambda row: row.name.tag,
    "UniqueSize": lambda row: human_size(row.usage.unique) if row.usage else NOT_AVAILABLE,
    "VirtualSize": lambda row: human_size(row.name.image.size),
}


def names_of(images: Iterable[ListedImage]) -> Iterator[ImageName]:
    """Yield a row a name; for an image without tags one a repository digest, else one with `<none>`."""
    for image in images:
        digests = dict(name.split("@", 1) for name in image.repo_digests)
        for name in image.names:
            repository, tag, _ = reference.split_name(name)
            yield ImageName(reference.familiar(repository), tag or NONE, digests.get(repository, NONE), image)
        if not image.names:
            for repository, digest in digests.items():
                yield ImageName(reference.familiar(repository), NONE, digest, image)
            if not digests:
                yield ImageName(NONE, NONE, NONE, image)


def short_id(image_id: str) -> str:
    """Return the first 12 digits of an image's ID."""
    return image_id.removeprefix("sha256:")[:_SHORT_ID]


def _time(created: str, shown: Callable[[str], str]) -> str:
    """Return a time as `shown` writes it; an image's config says when it was made, and may say anything."""
    try:
        return shown(created)
    except (ValueError, OverflowError):
        return NOT_AVAILABLE
