"""Giving a container another name.

Names are claimed by exclusive creation, so the new one is claimed first and the old one given up last: whoever looks the container
up meanwhile finds it by both. Between these its record is written: by its monitor while it runs, as nobody else writes it then.
"""

from typing import Final

from rootless import events
from rootless.containers import documents, lifecycle
from rootless.containers.documents import Document
from rootless.containers.lock import ContainerLock
from rootless.containers.requests import ask
from rootless.containers.store import ContainerStore
from rootless.errors import InUse, InvalidInput, RlError
from rootless.locations import Locations

_TRIES: Final = 5
_TIDYING_SECONDS: Final = 5.0


def rename(locations: Locations, name_or_id: str, new_name: str) -> None:
    """Rename a container, running or not. Raises `NoSuchObject`, `InvalidInput`, `InUse`; it keeps its name then."""
    store = ContainerStore(locations)
    document = store.find(name_or_id)
    lifecycle.refuse_foreign(document)
    new_name = new_name.removeprefix("/")
    old_name = document["Name"].lstrip("/")
    if new_name == old_name:
        raise InvalidInput(f"the container is named {old_name} already", "give another name")
    store.claim_name(new_name, document["Id"])
    try:
        _write_name(store, document, new_name)
    except (RlError, OSError):
        store.release_name(new_name, document["Id"])
        raise
    store.release_name(old_name, document["Id"])
    events.emit_container(locations, {**document, "Name": f"/{new_name}"}, "rename", oldName=f"/{old_name}")


def _write_name(store: ContainerStore, document: Document, new_name: str) -> None:
    for _attempt in range(_TRIES):
        document = store.find(document["Id"])
        if document["State"]["Running"]:
            if _ask_monitor(store, document, new_name):
                return
        elif _write_as_holder(store.folder(document["Id"]), new_name):
            return
    raise InUse(f"another command works on container {document['Id'][:12]}", "try again when that has ended")


def _ask_monitor(store: ContainerStore, document: Document, new_name: str) -> bool:
    """Have the monitor write the name; False where the container has ended meanwhile."""
    try:
        sock = lifecycle.attach(store.locations, document)
    except InUse:
        return False
    try:
        ask(sock, {"op": "rename", "name": new_name})
    except RlError:
        if store.find(document["Id"])["State"]["Running"]:
            raise
        return False
    finally:
        sock.close()
    return True


def _write_as_holder(folder: str, new_name: str) -> bool:
    """Write the name under the container's lock; False where it runs again, or somebody else holds the lock."""
    lock = ContainerLock(folder)
    try:
        if not lock.acquire_within(_TIDYING_SECONDS):
            return False
        document = documents.read(folder)
        if document["State"]["Running"]:
            return False
        document["Name"] = f"/{new_name}"
        documents.write(folder, document)
    finally:
        lock.release()
    return True
