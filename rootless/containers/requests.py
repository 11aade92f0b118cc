"""A request to a container's monitor, and its reply (see `frames`)."""

import json
from collections.abc import Mapping
from typing import Any

from rootless import errors
from rootless.containers import endpoint, frames
from rootless.containers.documents import Document
from rootless.containers.store import ContainerStore
from rootless.errors import NoSuchObject, RlError
from rootless.linux.process import ProcessId, is_alive
from rootless.linux.sockets import socket
from rootless.locations import Locations


def ask(sock: socket, request: Mapping[str, object]) -> dict[str, Any]:
    """Send a request and return the REPLY. Raises the error that the reply carries."""
    reply = _reply_to(sock, request)
    if reply is None:
        hint = "its last words are in engine.log in the container's folder"
        raise RlError("the container's monitor ended without an answer", hint)
    return reply


def ask_monitor(locations: Locations, document: Document, request: Mapping[str, object]) -> dict[str, Any] | None:
    """Do the same at the socket of a container; None when its monitor ended without a reply."""
    monitor = document["Rl"]["Monitor"]
    if monitor is None:
        return None
    store = ContainerStore(locations)
    try:
        sock = endpoint.connect(store.folder(document["Id"]), document, ProcessId(*monitor))
    except RlError:
        if _is_watched_by(store, document["Id"], monitor):
            raise
        return None
    try:
        return _reply_to(sock, request)
    finally:
        sock.close()


def _is_watched_by(store: ContainerStore, container_id: str, monitor: list[int]) -> bool:
    """Tell whether that is a container's monitor, and lives: the record of one that was killed may not be repaired yet."""
    try:
        document = store.find(container_id)
    except NoSuchObject:  # it was run with --rm, or removed by another command
        return False
    return document["State"]["Running"] and document["Rl"]["Monitor"] == monitor and is_alive(ProcessId(*monitor))


def _reply_to(sock: socket, request: Mapping[str, object]) -> dict[str, Any] | None:
    """Return the reply; None when the other side ended before."""
    decoder = frames.Decoder()
    try:
        sock.sendall(frames.encode(frames.REQUEST, json.dumps(request).encode()))
        while received := sock.recv(1 << 16):
            for kind, payload in decoder.feed(received):
                if kind == frames.REPLY:
                    reply: dict[str, Any] = json.loads(payload)
                    raise_error_of(reply)
                    return reply
    except (ConnectionResetError, BrokenPipeError):
        pass  # it was killed
    return None


def raise_error_of(reply: Mapping[str, str]) -> None:
    """Raise the error of a REPLY, of the class that was raised in the monitor; a good one does nothing."""
    if "error" in reply:
        kind = getattr(errors, reply.get("kind", ""), RlError)
        raise kind(reply["error"], reply.get("hint"))
