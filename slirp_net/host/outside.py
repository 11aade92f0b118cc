"""Sockets towards the outside, and what their errors are for the container.

The C module `_socket` is used directly: `socket` imports selectors and enum, which cost more memory than the flows of most
containers.
"""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, SO_LINGER, SOCK_CLOEXEC, SOCK_NONBLOCK, SOL_SOCKET, socket
from errno import (
    EACCES,
    EADDRNOTAVAIL,
    EHOSTDOWN,
    EHOSTUNREACH,
    EINVAL,
    EMFILE,
    ENETDOWN,
    ENETUNREACH,
    ENFILE,
    ENOBUFS,
    ENOMEM,
    EPERM,
    ETIMEDOUT,
)
from struct import Struct

from slirp_net.wire import icmp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

# The errors of connect(2) and send(2) that a router would have told by an ICMP code; all others mean that nothing listens.
UNREACHABLE: Final = {
    ENETUNREACH: icmp.NET_UNREACHABLE,
    ENETDOWN: icmp.NET_UNREACHABLE,
    EADDRNOTAVAIL: icmp.NET_UNREACHABLE,
    EINVAL: icmp.NET_UNREACHABLE,
    EHOSTUNREACH: icmp.HOST_UNREACHABLE,
    EHOSTDOWN: icmp.HOST_UNREACHABLE,
    ETIMEDOUT: icmp.HOST_UNREACHABLE,
    EACCES: icmp.PROHIBITED,
    EPERM: icmp.PROHIBITED,
}
SCARCE: Final = frozenset({EMFILE, ENFILE, ENOBUFS, ENOMEM})
"""The errors that say that the node, or our limits, have no room for another socket."""
_LINGER_RESET: Final = Struct("ii").pack(1, 0)


def open_socket(address: str, kind: int, protocol: int = 0) -> socket:
    """Return a non-blocking socket of the family of `address`. Raises `OSError`."""
    family = AF_INET6 if ":" in address else AF_INET
    return socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol)


def let_reset(outside: socket) -> None:
    """Let the close of a connected socket reset the connection. Raises `OSError`."""
    outside.setsockopt(SOL_SOCKET, SO_LINGER, _LINGER_RESET)
