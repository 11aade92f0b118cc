"""A request to a container's monitor, and its reply (see `frames`)."""

import json
from collections.abc import Mapping

from rootless import errors
from rootless.containers import frames
from rootless.errors import RlError
from rootless.linux.sockets import socket


def ask(sock: socket, request: Mapping[str, object]) -> None:
    """Send a request and wait for its REPLY. Raises the error that the reply carries."""
    sock.sendall(frames.encode(frames.REQUEST, json.dumps(request).encode()))
    decoder = frames.Decoder()
    while received := sock.recv(1 << 16):
        for kind, payload in decoder.feed(received):
            if kind == frames.REPLY:
                raise_error_of(json.loads(payload))
                return
    raise RlError("the container's monitor ended without an answer", "its last words are in engine.log in the container's folder")


def raise_error_of(reply: Mapping[str, str]) -> None:
    """Raise the error of a REPLY, of the class that was raised in the monitor; a good one does nothing."""
    if "error" in reply:
        kind = getattr(errors, reply.get("kind", ""), RlError)
        raise kind(reply["error"], reply.get("hint"))
