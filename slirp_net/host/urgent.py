"""Urgent data between the container's connection and a host socket (RFC 6093; tcp(7), "out-of-band data").

Both sides have a mark in the stream, one byte. From the container it is an urgent pointer, and becomes a byte sent with
MSG_OOB. From the outside it shows as EPOLLPRI; the socket keeps the byte in line (SO_OOBINLINE), never reads past the mark in one
call, and tells by SIOCATMARK that the next byte is the urgent one. Imported only when somebody uses it, which few programs do.
"""

from __future__ import annotations

from _socket import MSG_OOB
from fcntl import ioctl
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Final

_SIOCATMARK: Final = 0x8905
_INT: Final = Struct("i")


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


def is_at_mark(outside: socket) -> bool:
    """Tell whether the next byte to read is the urgent one."""
    (at_mark,) = _INT.unpack(ioctl(outside.fileno(), _SIOCATMARK, bytes(_INT.size)))
    return bool(at_mark)
