"""What commands that were killed left behind: removed by whoever next removes a container."""

import contextlib
import os
import time
from typing import Final

from rootless.containers import documents
from rootless.containers.addresses import socket_name
from rootless.containers.lock import ContainerLock
from rootless.containers.store import ContainerStore
from rootless.errors import DamagedRecord, InUse, NoSuchObject
from rootless.locations import Locations
from rootless.storage import trash, unfinished

_AGE: Final = 60.0  # seconds: a container that is being made has no record yet


def collect(locations: Locations) -> None:
    """Remove folders without a record, sockets without a container, halves of volumes and secrets, and what is in the trash."""
    store = ContainerStore(locations)
    for container_id in store.ids():
        folder = store.folder(container_id)
        if not os.path.exists(f"{folder}/{documents.FILE}") and _is_old(folder):
            _remove_folder(locations, folder, container_id)
    _remove_sockets(locations, {socket_name(container_id) for container_id in store.ids()})
    for parent in (locations.volumes, locations.secrets):
        unfinished.discard_old(parent)
    trash.empty(locations)


def refuse_infra(store: ContainerStore, container_id: str) -> None:
    """Raise `InUse` for the container that holds a pod's namespaces: it goes with the pod."""
    with contextlib.suppress(NoSuchObject, DamagedRecord):  # the removal will say so
        document = store.find(container_id)
        if document["Rl"].get("Pod", {}).get("IsInfra"):
            name = document["Name"].lstrip("/")
            raise InUse(f"container {name} is the infra container of pod {name}", f"remove the pod: rl pod rm {name}")


def remove_damaged(locations: Locations, container_id: str) -> bool:
    """Remove a container whose record cannot be read, with its names; False when a monitor still holds its lock."""
    lock = ContainerLock(f"{locations.containers}/{container_id}")
    try:
        if not lock.acquire():
            return False
        store = ContainerStore(locations)
        store.names.release_all(container_id)
        _throw_away(locations, store.folder(container_id), container_id)
    finally:
        lock.release()
    return True


def _remove_folder(locations: Locations, folder: str, container_id: str) -> None:
    lock = ContainerLock(folder)
    try:
        if lock.acquire() and not os.path.exists(f"{folder}/{documents.FILE}"):
            _throw_away(locations, folder, container_id)
    except FileNotFoundError:
        return  # somebody else was here
    finally:
        lock.release()


def _throw_away(locations: Locations, folder: str, container_id: str) -> None:
    trashed = trash.throw_away(locations, folder, container_id)
    if trashed is not None:
        trash.delete(locations, trashed)


def _remove_sockets(locations: Locations, wanted: set[str]) -> None:
    """Remove sockets of containers of this data root that are gone; others may share the runtime directory."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(locations.runtime_dir):
            path = f"{locations.runtime_dir}/{name}"
            if name.endswith(".sock") and name not in wanted and _is_old(path) and not _is_served(path):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)


def _is_served(path: str) -> bool:
    """Tell whether somebody listens at a socket."""
    from rootless.linux.sockets import connect_to

    folder, _, name = path.rpartition("/")
    try:
        connect_to(folder, name).close()
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    return True


def _is_old(path: str) -> bool:
    try:
        return time.time() - os.stat(path, follow_symlinks=False).st_mtime > _AGE
    except FileNotFoundError:
        return False
