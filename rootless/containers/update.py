"""Changing what was said of a container when it was made: in its record or, while it runs, by its monitor."""

import time
from typing import Any, Final

from rootless.containers import documents, lifecycle, requests
from rootless.containers.store import ContainerStore
from rootless.locations import Locations

_SECONDS: Final = 5.0


def update(locations: Locations, name_or_id: str, policy: dict[str, Any]) -> None:
    """Give a container another restart policy. Raises `NoSuchObject`, `InUse`."""
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        document, lock = lifecycle.running_or_taken(locations, name_or_id, _SECONDS)
        if lock is None:
            if requests.ask_monitor(locations, document, {"op": "update", "RestartPolicy": policy}) is not None:
                return
            time.sleep(0.005)  # it has ended meanwhile, and somebody notes that
            continue
        try:
            document["HostConfig"]["RestartPolicy"] = policy
            documents.write(ContainerStore(locations).folder(document["Id"]), document)
        finally:
            lock.release()
        return
    raise lifecycle.busy(name_or_id)
