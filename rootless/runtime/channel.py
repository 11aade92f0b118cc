"""The packets between the starter of a container and its stage and init: one JSON object each, with descriptors."""

import contextlib
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from rootless import errors
from rootless.errors import RlError, os_error_text
from rootless.linux.sockets import receive_packet, send_packet, socket

_MAX_TEXT: Final = 4000
"""Characters of an error that are sent: what failed may be named by kilobytes of the user's."""


class Message(NamedTuple):
    """A received packet: `event` is "" at the end of file; the receiver closes the descriptors."""

    event: str
    fields: dict[str, Any]
    descriptors: list[int]


def send(sock: socket, event: str, descriptors: Sequence[int] = (), **fields: Any) -> None:
    """Send one event; a receiver that is gone raises `BrokenPipeError` or `ConnectionResetError`."""
    send_packet(sock, json.dumps({"event": event, **fields}).encode(), descriptors)


def receive(sock: socket) -> Message:
    """Wait for the next event."""
    try:
        payload, descriptors = receive_packet(sock)
    except ConnectionResetError:
        payload, descriptors = b"", []
    if not payload:
        return Message("", {}, descriptors)
    fields = json.loads(payload)
    return Message(fields.pop("event"), fields, descriptors)


def send_error(sock: socket, error: Exception, doing: str) -> None:
    """Send an error as the last event; `doing` says what failed where the error is the kernel's, or a defect of ours.

    A receiver that is gone needs to be told nothing.
    """
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        if isinstance(error, RlError):
            send(sock, "error", kind=type(error).__name__, message=error.message[:_MAX_TEXT], hint=error.hint)
        else:
            text = os_error_text(error) if isinstance(error, OSError) else f"a defect of rl: {error!r}"
            send(sock, "error", kind="RlError", message=f"{doing}: {text}"[:_MAX_TEXT], hint=None)


def to_exception(message: Message) -> RlError:
    """Return the error that an `error` event carries, of the class that was raised on the other side."""
    kind = getattr(errors, message.fields["kind"], RlError)
    exception = kind(message.fields["message"], message.fields["hint"])
    assert isinstance(exception, RlError)
    return exception
