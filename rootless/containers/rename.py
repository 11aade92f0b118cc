"""Giving a container another name: by its monitor while it runs, as nobody else writes its record then, else under its lock."""

import functools
from typing import Final

from rootless import events
from rootless.containers import documents, lifecycle
from rootless.containers.name_claims import check_name
from rootless.containers.requests import ask_monitor
from rootless.containers.store import ContainerStore
from rootless.errors import InvalidInput
from rootless.locations import Locations

_TRIES: Final = 5
_TIDYING_SECONDS: Final = 5.0


def rename(locations: Locations, name_or_id: str, new_name: str) -> None:
    """Rename a container, running or not. Raises `NoSuchObject`, `InvalidInput`, `InUse`; it keeps its name then."""
    store = ContainerStore(locations)
    document = store.find(name_or_id)
    lifecycle.refuse_foreign(document)
    new_name = new_name.removeprefix("/")
    check_name(new_name)
    if document["Name"] == f"/{new_name}":
        raise InvalidInput(f"the container is named {new_name} already", "give another name")
    old_name = _move(locations, document["Id"], new_name)
    events.emit_container(locations, {**document, "Name": f"/{new_name}"}, "rename", oldName=old_name)


def _move(locations: Locations, container_id: str, new_name: str) -> str:
    """Rename, and return the old name as the record has it."""
    store = ContainerStore(locations)
    for _attempt in range(_TRIES):
        document, lock = lifecycle.running_or_taken(locations, container_id, _TIDYING_SECONDS)
        old_name, folder = document["Name"], store.folder(container_id)
        if lock is None:
            if ask_monitor(locations, document, {"op": "rename", "name": new_name}) is not None:
                return old_name
            continue  # it has ended meanwhile
        try:
            store.names.move(document, new_name, functools.partial(documents.write, folder, document))
        finally:
            lock.release()
        return old_name
    raise lifecycle.busy(container_id[:12])
