"""Which containers have which volumes, by their records; running or not."""

from rootless.containers import documents
from rootless.containers.documents import Document
from rootless.containers.store import ContainerStore
from rootless.errors import DamagedRecord
from rootless.locations import Locations


def volumes_of(document: Document) -> list[str]:
    """Return the names of the volumes that a container mounts."""
    return [str(mount["Name"]) for mount in document["Mounts"] if mount.get("Type") == "volume" and mount.get("Name")]


def users_of_volumes(locations: Locations) -> dict[str, list[str]]:
    """Return by the name of a volume the IDs of all containers that have it.

    No record is repaired: that may remove a container with its volumes, and the caller may hold the volumes' lock.
    """
    users: dict[str, list[str]] = {}
    store = ContainerStore(locations)
    for container_id in store.ids():
        try:
            document = documents.read(store.folder(container_id))
        except (FileNotFoundError, NotADirectoryError, DamagedRecord):  # just being made or removed; or it cannot start again
            continue
        for name in volumes_of(document):
            users.setdefault(name, []).append(document["Id"])
    return users
