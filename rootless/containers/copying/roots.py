"""A container's root, open for a copy: entered while the container runs, mounted for the time of the copy while it does not.

Theory of operation. W is a worker in the parent namespace, M the command that started it.

    M                                    W
    fork ------------------------------> runs: joins init's user namespace, opens /proc/PID/root
                                         stopped: new mount namespace, mounts the root and what the user mounts there
         <------- staged [descriptors of the root's server] (driver fuse; requests wait)
    starts the server
                                         copies from or to the pipe that it has from M
         <------- result ----------------

The mount of a stopped container is W's alone and goes with it. M holds the container's lock meanwhile, so that nobody starts it:
two mounts would share an upper. In a running container's user namespace W is not dumpable, or the container's root could open it.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from rootless.containers import documents, lifecycle
from rootless.containers.documents import Document
from rootless.containers.helpers import Helper, serve_root
from rootless.containers.namespace_modes import maps_of
from rootless.containers.root_trees import root_trees
from rootless.containers.store import ContainerStore
from rootless.errors import InUse, RlError
from rootless.linux import mounts, namespaces
from rootless.linux.process import ProcessId, is_alive, open_pidfd
from rootless.linux.sockets import packet_pair, socket
from rootless.locations import Locations
from rootless.namespaces.parent import become_root
from rootless.namespaces.worker import start_in_parent
from rootless.runtime import channel, mounting
from rootless.runtime.isolation import close_interpreter
from rootless.storage import drivers
from rootless.storage.root_filesystem import RootFilesystem

_TIDYING_SECONDS: Final = 5.0
_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

Copy = Callable[[int], Any]
"""What is done with a container's open root; returns what JSON can carry."""


class _Stopped(NamedTuple):
    """What a worker needs to mount the root of a container that does not run."""

    root: RootFilesystem
    driver: str
    binds: list[dict[str, Any]]
    make_sources: Callable[[str], None]  # what the binds need, called with the root's path


@contextlib.contextmanager
def started_copy(locations: Locations, name: str, copy: Copy) -> Iterator[Callable[[], Any]]:
    """Start a worker that calls `copy` with a container's open root; yield what waits for its end and returns its result.

    The worker has all descriptors of ours that are open now. Raises `NoSuchObject`, `InUse`, `NodeLacks`, `OSError`.
    """
    document, lock = lifecycle.running_or_taken(locations, name, _TIDYING_SECONDS)
    try:
        if lock is None:
            yield start_in_parent(locations, _copy_running, ProcessId(*_entry(document)), copy)
        else:
            with _server_of(locations, document) as (union, theirs):
                stopped = _stopped(locations, document)
                ends = () if union is None else union.descriptors
                result = start_in_parent(locations, _copy_stopped, stopped, theirs, ends, copy)
                if union is not None and theirs is not None:
                    theirs.close()  # so that the worker's end shows
                    union.serve()
                yield result
    finally:
        if lock is not None:
            lock.release()


def _entry(document: Document) -> list[int]:
    entry = document["Rl"]["Entry"]
    if not documents.has_begun(document["State"]) or entry is None:
        raise lifecycle.not_running(document)
    return entry


def _copy_running(entry: ProcessId, copy: Copy) -> Any:
    """Join the user namespace of a running container, as its root, and copy."""
    pidfd = open_pidfd(entry)
    if pidfd is None:
        raise InUse("the container has ended meanwhile", "try again")
    close_interpreter()
    try:
        namespaces.patiently(entry.pid, lambda: namespaces.setns(pidfd, namespaces.NEWUSER))
        become_root()
        root = os.open(f"/proc/{entry.pid}/root", _ROOT)
    except (ProcessLookupError, FileNotFoundError):
        raise InUse("the container has ended meanwhile", "try again") from None
    if not is_alive(entry):  # else the PID was its own until now, and the root is the container's
        raise InUse("the container has ended meanwhile", "try again")
    return copy(root)


def _copy_stopped(stopped: _Stopped, sync: socket | None, ends: Sequence[int], copy: Copy) -> Any:
    """Mount the root of a container that does not run, in a mount namespace of our own, and copy.

    `ends` are M's of its sockets. While we had them, too, M's death would go unnoticed: by the server, which ends then, and by the
    kernel, which gives up a root that nobody can serve any more.
    """
    for descriptor in ends:
        os.close(descriptor)
    namespaces.unshare(namespaces.NEWNS)
    mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE)
    descriptors = drivers.load(stopped.driver).mount(stopped.root)
    if sync is not None:
        channel.send(sync, "staged", descriptors)
        sync.close()
    for descriptor in descriptors:
        os.close(descriptor)
    stopped.make_sources(stopped.root.mount_point)
    root = os.open(stopped.root.mount_point, _ROOT)
    mounting.bind_all(root, stopped.binds)
    # Opened again: what is mounted upon the root's folders is seen from there only.
    os.close(root)
    return copy(os.open(stopped.root.mount_point, _ROOT))


def _stopped(locations: Locations, document: Document) -> _Stopped:
    trees = root_trees(locations, document)
    folder = ContainerStore(locations).folder(document["Id"])
    binds = [mount for mount in document["Rl"]["Mounts"] if mount["type"] == "bind"]
    binds.sort(key=lambda mount: str(mount["destination"]).count("/"))
    root = RootFilesystem(folder, locations.layers, tuple(trees.layers))
    return _Stopped(root, document["Driver"], binds, _sources_of(locations, document))


def _sources_of(locations: Locations, document: Document) -> Callable[[str], None]:
    if "Staging" not in document["Rl"]:
        return lambda _root: None
    from rootless.containers import staging  # only for volumes and their like

    staging.discard_overlays(locations, document["Id"])
    wanted = staging.Staging(locations, document)
    return lambda root: wanted.make(root, None)


class _Union:
    """The server of a root that is served in user space, for the time of one copy."""

    def __init__(self, locations: Locations, document: Document, errors: int, sync: socket) -> None:
        self._maps = maps_of(document)
        self._helper = Helper(locations.runtime_dir, "fuse_overlay", errors)
        self._sync = sync

    @property
    def descriptors(self) -> tuple[int, int]:
        """Our ends of the sockets to the server and to the worker."""
        return self._helper.descriptor, self._sync.fileno()

    def serve(self) -> None:
        """Hand the server what the worker has mounted. Raises `RlError` when that failed; the worker's own error tells more."""
        message = channel.receive(self._sync)
        if message.event == "staged":
            serve_root(self._helper, message.descriptors, self._maps)
        for descriptor in message.descriptors:
            os.close(descriptor)
        if message.event != "staged":
            return  # the worker has failed, and says why
        answer = self._helper.answer()
        if answer is None or "error" in answer:
            reason = "it died" if answer is None else answer["error"]
            raise RlError(f"cannot serve the container's root file system: {reason}", "see engine.log in its folder")

    def close(self) -> None:
        """End the server."""
        self._helper.close()


@contextlib.contextmanager
def _server_of(locations: Locations, document: Document) -> Iterator[tuple[_Union | None, socket | None]]:
    """Yield the server that a root needs, and the worker's end of the socket to us; None for other drivers."""
    if document["Driver"] != "fuse":
        yield None, None
        return
    ours, theirs = packet_pair()
    log = f"{ContainerStore(locations).folder(document['Id'])}/engine.log"
    errors = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        union = _Union(locations, document, errors, ours)
        try:
            yield union, theirs
        finally:
            union.close()
    finally:
        os.close(errors)
        ours.close()
        theirs.close()
