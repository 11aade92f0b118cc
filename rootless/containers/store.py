"""All containers of a data root: finding, removing, and telling the truth about those whose monitor died.

Reading takes no lock. A container of this node whose monitor is gone is repaired by whoever reads it: a surviving init is killed,
the document says exited, 137, and `--rm` is completed. One of another node is shown as it is and never touched.
"""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Final

from rootless import events
from rootless.containers import clock, documents
from rootless.containers.addresses import remove_stale_socket
from rootless.containers.documents import Document
from rootless.containers.lock import ContainerLock
from rootless.containers.name_claims import NameClaims, ids_of
from rootless.errors import DamagedRecord, InvalidInput, NoSuchObject
from rootless.linux.process import ProcessId, boot_id, is_alive, send_signal, wait_for_end
from rootless.locations import Locations

MONITOR_DIED: Final = "monitor died"
NODE_REBOOTED: Final = "the node was rebooted"
_KILLED: Final = 137


class ContainerStore:
    """The containers in `locations.containers`."""

    def __init__(self, locations: Locations) -> None:
        self.locations = locations
        self.names = NameClaims(locations)

    def folder(self, container_id: str) -> str:
        """Return the folder of a container."""
        return f"{self.locations.containers}/{container_id}"

    def find(self, name_or_id: str) -> Document:
        """Return the document of a container by its name, its ID, or a prefix of that which is unique, repaired if need be.

        Raises `NoSuchObject`, or `InvalidInput` for an ambiguous prefix.
        """
        document = self._read(self.id_of(name_or_id))
        if document is None:
            raise _no_such(name_or_id)
        return document

    def list(self, on_damaged: Callable[[DamagedRecord], None] = lambda _error: None) -> list[Document]:
        """Return all containers, newest first, repaired if need be; one that vanishes meanwhile is left out.

        So is one whose record is damaged; `on_damaged` is told of it.
        """
        found = []
        for container_id in self.ids():
            try:
                document = self._read(container_id)
            except DamagedRecord as error:
                on_damaged(error)
            else:
                if document is not None:
                    found.append(document)
        return sorted(found, key=lambda document: document["Created"], reverse=True)

    def ids(self) -> Iterator[str]:
        """Yield the IDs of all containers, and of folders whose container is being made."""
        return ids_of(self.locations)

    def id_of(self, name_or_id: str) -> str:
        """Return the ID that a name, an ID or its prefix means. Raises as `find`."""
        if "/" in name_or_id.strip("/") or not name_or_id.strip("/"):
            raise _no_such(name_or_id)
        holder = self.names.holder_of(name_or_id.strip("/"))
        if holder is not None:
            return holder
        matching = [one for one in self.ids() if one.startswith(name_or_id)]
        if len(matching) > 1:
            raise InvalidInput(f"several containers have an ID that begins with {name_or_id}", "give more of it")
        if not matching:
            raise _no_such(name_or_id)
        return matching[0]

    def _read(self, container_id: str) -> Document | None:
        folder = self.folder(container_id)
        try:
            document = documents.read(folder)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return self._repair(folder, document) if self._needs_repair(document) else document

    def _needs_repair(self, document: Document) -> bool:
        own = document["Rl"]
        if _was_abandoned(document):
            return True
        if not document["State"]["Running"] or not is_of_this_node(document):
            return False
        return own["BootId"] != boot_id() or own["Monitor"] is None or not is_alive(ProcessId(*own["Monitor"]))

    def _repair(self, folder: str, document: Document) -> Document | None:
        """Bring the document of a container in line with the truth, under its lock; None when that removed it."""
        lock = ContainerLock(folder)
        try:
            if not lock.acquire():
                return document  # a new monitor, or another reader, is at work on it
            document = documents.read(folder)
        except FileNotFoundError:
            return None
        try:
            if not self._needs_repair(document):
                return document
            if _was_abandoned(document):
                self.remove(document)
                return None
            own = document["Rl"]
            rebooted = own["BootId"] != boot_id()
            if not rebooted and own["Init"] is not None:
                kill_and_wait(ProcessId(*own["Init"]))
            number = own.get("MountNamespace")
            if not rebooted and number is not None:
                from rootless.containers import strays  # rare: only with --pid

                strays.end_all_in_numbered(number)
            remove_stale_socket(own["RuntimeDir"], document["Id"])
            events.emit_container(self.locations, document, "die", exitCode=str(_KILLED))
            document["State"]["Running"] = False
            if document["HostConfig"]["AutoRemove"] or _was_abandoned(document):
                self.remove(document)
                return None
            own["Monitor"] = own["Init"] = own["Entry"] = own["MountNamespace"] = None
            documents.set_exited(document["State"], _KILLED, NODE_REBOOTED if rebooted else MONITOR_DIED, clock.now())
            documents.write(folder, document)
            return document
        finally:
            lock.release()

    def remove(self, document: Document, *, volumes: bool = False) -> None:
        """Remove a container that the caller holds the lock of: its name and record at once, then its files.

        With `volumes`, and always with --rm, its anonymous volumes go, too.
        """
        from rootless.storage import trash  # with the worker, 2 ms that ps and logs need not pay

        trashed = self.remove_record(document, volumes=volumes)
        if trashed is not None:
            trash.delete(self.locations, trashed)

    def remove_record(self, document: Document, *, volumes: bool = False) -> str | None:
        """Remove name and record; return where the files went, for `trash.delete`. `volumes` as for `remove`."""
        from rootless.storage import trash  # as above

        remove_stale_socket(document["Rl"]["RuntimeDir"], document["Id"])  # of a monitor that was killed during a start
        trashed = trash.throw_away(self.locations, self.folder(document["Id"]), document["Id"])
        # After the record: were we killed in between, a container without its name would be left, and another could get that.
        self.names.release(document["Name"].lstrip("/"), document["Id"])
        names = document["Rl"].get("AnonymousVolumes")
        if names and trashed is not None and (volumes or document["HostConfig"]["AutoRemove"]):
            from rootless.containers.mounts_of_container import remove_volumes  # only where there are any

            remove_volumes(self.locations, names, into=os.path.basename(trashed))
        events.emit_container(self.locations, document, "destroy")
        return trashed


def _was_abandoned(document: Document) -> bool:
    """Tell whether `run --rm` was killed before it had started the container, or a build beside one that does not run.

    Whoever gets the lock then removes it.
    """
    state = document["State"]
    if "EndsWith" in document["Rl"] and not state["Running"]:
        from rootless.containers import maker  # steps of builds only

        return maker.is_gone(document)
    return state["Status"] == "created" and document["HostConfig"]["AutoRemove"] and document["Rl"].get("ByRun", False)


def is_of_this_node(document: Document) -> bool:
    """Tell whether the container runs, or last ran, on this node."""
    return document["Rl"]["Node"] in ("", os.uname().nodename)


def containers_using_image(locations: Locations, image_id: str) -> list[str]:
    """Return the IDs of all containers that were made from an image (sha256:…)."""
    return [document["Id"] for document in ContainerStore(locations).list() if image_id in images_of(document)]


def images_of(document: Document) -> list[str]:
    """Return the IDs (sha256:…) of the image that a container was made from, and of those that it mounts."""
    return [document["Image"], *(str(image["Id"]) for image in document["Rl"].get("MountedImages", ()))]


def layer_keys_of(document: Document) -> list[str]:
    """Return the keys of all unpacked layers that a container needs."""
    mounted = document["Rl"].get("MountedImages", ())
    return [*document["Rl"]["LayerKeys"], *(str(key) for image in mounted for key in image["LayerKeys"])]


def kill_and_wait(process: ProcessId) -> None:
    """Kill a container's init, if it still lives, and wait for its end: all of its PID namespace ends with it."""
    if send_signal(process, signal.SIGKILL):
        wait_for_end(process, 10)


def _no_such(name_or_id: str) -> NoSuchObject:
    return NoSuchObject(f"No such container: {name_or_id}", "rl ps -a lists all containers")
