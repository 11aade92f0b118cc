"""Waiting until the end of a run is written down."""

import time
from typing import Final

from rootless.containers import documents
from rootless.containers.documents import Document
from rootless.containers.lock import ContainerLock
from rootless.containers.store import ContainerStore
from rootless.linux.process import ProcessId, is_alive
from rootless.locations import Locations

_SECONDS: Final = 30.0


def wait_for_record(locations: Locations, document: Document) -> bool:
    """Wait until the end of a container whose init has ended is in its record (or the record gone, with --rm).

    False where its monitor starts it again, instead.
    """
    own = document["Rl"]
    if own["Monitor"] is None:
        return True
    # The monitor lets go right after that, unless a client is slow to take the last output: so not for ever.
    folder = ContainerStore(locations).folder(document["Id"])
    deadline = time.monotonic() + _SECONDS
    lock = ContainerLock(folder)
    try:
        while not lock.acquire() and is_alive(ProcessId(*own["Monitor"])) and time.monotonic() < deadline:
            now = documents.read(folder)["Rl"]
            if now["Monitor"] not in (None, own["Monitor"]):
                break  # another command has started it
            if now["Monitor"] is not None and now["Init"] != own["Init"]:
                return False
            time.sleep(0.005)
    except FileNotFoundError:
        pass  # removed
    finally:
        lock.release()
    return True
