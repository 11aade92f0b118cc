"""Which containers a verb works on: those that are named, or all, or all that pass filters."""

from collections.abc import Callable
from typing import NamedTuple

from rootless.containers.documents import Document
from rootless.containers.store import ContainerStore
from rootless.errors import InvalidInput
from rootless.locations import Locations


class Chosen(NamedTuple):
    """How to choose where no names are given; `running` None takes both those that run and those that do not."""

    take_all: bool = False
    filters: tuple[str, ...] = ()
    running: bool | None = None
    also: Callable[[Document], bool] = lambda _document: True


def read_ids(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is in files of `--cidfile`. Raises `InvalidInput`."""
    return tuple(_read_id(path) for path in paths)


def _read_id(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot read the container ID file {path}: {error}") from None


def choose(locations: Locations, names: tuple[str, ...], chosen: Chosen) -> list[str]:
    """Return the names. Raises `InvalidInput` when neither names nor --all or --filter were given, or both."""
    if not (chosen.take_all or chosen.filters):
        if not names:
            raise InvalidInput("you must name at least one container", "or use --all")
        return list(names)
    if names:
        raise InvalidInput("--all and --filter do not go together with names of containers", "leave one of them out")
    documents = ContainerStore(locations).list()
    if chosen.filters:
        from cli.container_filters import Filters  # with the option only

        documents = Filters(chosen.filters).apply(documents)
    return [
        document["Name"].lstrip("/")
        for document in documents
        if chosen.running in (None, document["State"]["Running"]) and chosen.also(document)
    ]
