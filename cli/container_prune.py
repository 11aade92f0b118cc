"""Removing containers that do not run, as `rl container prune` and `rl system prune` do."""

import time

from cli.durations import parse_rfc3339, parse_since
from cli.image_filters import has_label
from cli.tables import emit
from rootless.containers import lifecycle
from rootless.containers.documents import Document
from rootless.containers.store import ContainerStore, is_of_this_node
from rootless.errors import InUse, NoSuchObject
from rootless.locations import Locations
from rootless.storage.usage import sizes_of_uppers

ALL_STOPPED = "all stopped containers"


def prune_containers(locations: Locations, wanted: dict[str, list[str]]) -> int:
    """Remove the containers that have ended and pass the filters until, label and label!; prints them, returns their bytes."""
    now = time.time_ns()
    end = min((parse_since(text, now) for text in wanted.get("until", ())), default=now)
    chosen = [one["Id"] for one in ContainerStore(locations).list() if _may_go(one, wanted, end)]
    sizes = sizes_of_uppers(locations, chosen)
    deleted = []
    for container_id in chosen:
        try:
            lifecycle.remove(locations, container_id)
        except (InUse, NoSuchObject):  # somebody has just started, or removed it
            continue
        deleted.append(container_id)
    if deleted:
        emit("\n".join(["Deleted Containers:", *deleted, ""]))
    return sum(sizes[container_id] for container_id in deleted)


def _may_go(document: Document, wanted: dict[str, list[str]], end: int) -> bool:
    if document["State"]["Running"] or document["State"]["Paused"] or not is_of_this_node(document):
        return False
    labels = document["Config"].get("Labels") or {}
    return (
        parse_rfc3339(document["Created"]) <= end
        and all(has_label(labels, text) for text in wanted.get("label", ()))
        and not any(has_label(labels, text) for text in wanted.get("label!", ()))
    )
