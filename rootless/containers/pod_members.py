"""Pods: containers that share namespaces, which an infra container holds.

Theory of operation. The record of the infra container is that of the pod: it has the pod's name (so pods and containers share
one space of names, as in Podman) and its ID, and `Rl.Pod` says what is shared. So a pod is made and removed as atomically as a
container, and no second record can disagree with the first. A member's `Rl.Pod` names its pod, and its network, IPC and UTS modes
are `container:INFRA`. The infra container has no image, but a root with `pause_program` alone. Whoever starts a member starts
it before. A removal takes the members first, then the infra container, then members that were made meanwhile: those could
never be started.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from rootless.containers import lifecycle, pause_program
from rootless.containers.create import create
from rootless.containers.documents import Document, has_begun
from rootless.containers.namespace_modes import NamespaceModes
from rootless.containers.options import CreateOptions
from rootless.containers.requests import ask
from rootless.containers.store import ContainerStore
from rootless.errors import InUse, NoSuchObject
from rootless.images.store import Image
from rootless.locations import Locations

_SECONDS: Final = 10.0
_NO_IMAGE: Final = Image("", (), (), "", {}, {}, (), (), 0, "")


def make(locations: Locations, options: CreateOptions, share: Sequence[str], labels: Mapping[str, str]) -> Document:
    """Make a pod: its infra container, with the options of its network and names. Raises `RlError`."""
    # A name that is made up comes from the container's ID, which is not known before.
    pod = {"Id": "", "Name": options.name or "", "IsInfra": True, "Share": list(share), "Labels": dict(labels)}
    ipc = "shareable" if "ipc" in share else "private"
    options = options._replace(arguments=(pause_program.COMMAND,), init=True, namespaces=NamespaceModes(ipc=ipc), pod=pod)
    with lifecycle.signals_held():
        document, lock = create(locations, {"RL_STORAGE_DRIVER": "vfs"}, _NO_IMAGE, "", options, started_at_once=False)
        try:
            pause_program.provide(f"{ContainerStore(locations).folder(document['Id'])}/upper")
        finally:
            lock.release()
    return _as_pod(document)


def find(locations: Locations, name_or_id: str) -> Document:
    """Return the infra container of a pod. Raises `NoSuchObject`."""
    try:
        document = ContainerStore(locations).find(name_or_id)
    except NoSuchObject:
        document = None
    if document is None or not document["Rl"].get("Pod", {}).get("IsInfra"):
        raise NoSuchObject(f"No such pod: {name_or_id}", "rl pod ps lists all pods")
    return _as_pod(document)


def pods(documents: Sequence[Document]) -> list[tuple[Document, list[Document]]]:
    """Return all pods among all containers: each infra container, and all of its containers, the infra container first."""
    found = [_as_pod(one) for one in documents if one["Rl"].get("Pod", {}).get("IsInfra")]
    return [(infra, [infra, *members_among(documents, infra["Id"])]) for infra in found]


def members_among(documents: Sequence[Document], pod_id: str) -> list[Document]:
    """Return the members of a pod without its infra container."""
    return [one for one in documents if _pod_id(one) == pod_id and not one["Rl"]["Pod"]["IsInfra"]]


def members(locations: Locations, pod_id: str) -> list[Document]:
    """Do the same with all containers that there are."""
    return members_among(ContainerStore(locations).list(), pod_id)


def state(containers: Sequence[Document]) -> str:
    """Return the state of a pod as Podman computes it: Created, Running, Degraded, Stopped or Exited."""
    running = sum(has_begun(one["State"]) for one in containers)
    ended = sum(one["State"]["Status"] == "exited" for one in containers)
    if running:
        return "Running" if running == len(containers) else "Degraded"
    if ended:
        return "Exited" if ended == len(containers) else "Stopped"
    return "Created"


def start_infra(locations: Locations, member: Document) -> None:
    """Start the infra container of a member's pod, unless it runs. Raises `NoSuchObject` where the pod is gone."""
    infra = find(locations, member["Rl"]["Pod"]["Id"])
    pause_program.provide(f"{ContainerStore(locations).folder(infra['Id'])}/upper")  # its maker may have been killed before
    deadline = time.monotonic() + _SECONDS
    while not has_begun(infra["State"]) or infra["Rl"]["Entry"] is None:  # only then can it be joined
        start(locations, infra["Id"])
        if time.monotonic() > deadline:
            raise lifecycle.busy(infra["Id"])
        infra = find(locations, infra["Id"])


def start(locations: Locations, container_id: str) -> None:
    """Start a container in the background; one that runs, or is being started by another command, is fine."""
    try:
        _document, running = lifecycle.begin_existing(locations, container_id)
    except InUse:
        if not ContainerStore(locations).find(container_id)["State"]["Running"]:
            raise
        time.sleep(0.01)  # it may not have begun yet
        return
    try:
        ask(running.sock, {"op": "start"})
    finally:
        running.sock.close()


def remove(locations: Locations, infra: Document, *, force: bool) -> None:
    """Remove a pod with its containers; running members only with `force`. Raises `InUse`; nothing is removed then."""
    name = infra["Rl"]["Pod"]["Name"]
    if not force and any(one["State"]["Running"] for one in members(locations, infra["Id"])):
        raise InUse(f"pod {name} has containers that run", f"stop it first (rl pod stop {name}), or use rl pod rm -f")
    _remove_members(locations, infra["Id"], force=force)
    lifecycle.remove(locations, infra["Id"], force=True, pod=True)
    _remove_members(locations, infra["Id"], force=True)


def _remove_members(locations: Locations, pod_id: str, *, force: bool) -> None:
    for one in members(locations, pod_id):
        try:
            lifecycle.remove(locations, one["Id"], force=force)
        except NoSuchObject:  # it was run with --rm
            continue


def _pod_id(document: Document) -> str:
    return str(document["Rl"].get("Pod", {}).get("Id", ""))


def _as_pod(infra: Document) -> Document:
    """Complete what the record of a pod says of itself: its ID and name are the infra container's."""
    infra["Rl"]["Pod"] = {**infra["Rl"]["Pod"], "Id": infra["Id"], "Name": infra["Name"].lstrip("/")}
    return infra
