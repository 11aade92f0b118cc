"""Urgent data from the container's connection to a host socket (RFC 6093; tcp(7), "out-of-band data").

Both sides have a mark in the stream, one byte. From the container it is an urgent pointer, and becomes a byte sent with
MSG_OOB. The way back is in `flow`. Imported only when somebody uses it, which few programs do.
"""

from __future__ import annotations

from _socket import MSG_OOB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket


def send(outside: socket, payload: memoryview, mark: int) -> int:
    """Send `payload`, whose byte at `mark` is urgent, and return how much was taken. Raises `OSError` when nothing was."""
    if mark > 0:
        sent = outside.send(payload[:mark])
        if sent < mark:
            return sent
    else:
        sent = 0
    try:
        sent += outside.send(payload[mark : mark + 1], MSG_OOB)
        if sent < len(payload):
            sent += outside.send(payload[sent:])
    except BlockingIOError:
        if not sent:
            raise
    return sent
