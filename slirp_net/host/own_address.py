"""The host's own address, by which a container reaches the services that the host offers to its network."""

from __future__ import annotations

from _socket import AF_INET, AF_INET6, SOCK_CLOEXEC, SOCK_DGRAM, inet_ntoa, socket
from fcntl import ioctl
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ANYWHERE: Final = ("198.51.100.1", 9)  # connect(2) of a datagram socket sends nothing
_ANYWHERE6: Final = ("2001:db8::1", 9)
_SIOCGIFCONF: Final = 0x8912
_LIST: Final = Struct("iP")  # struct ifconf: length and address of the buffer, none to learn the length
_ENTRY: Final = Struct("16s2xH4s16x")  # struct ifreq: the interface's name and its address; netdevice(7)


def find() -> str | None:
    """Return the IPv4 address from which the host reaches the outside, else the first that is not of its loopback, or None."""
    with_route = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC)
    try:
        with_route.connect(_ANYWHERE)
        return str(with_route.getsockname()[0])
    except OSError:  # no route
        return _first(with_route)
    finally:
        with_route.close()


def find6() -> str | None:
    """Return the IPv6 address from which the host reaches the outside, or None where it has no route."""
    try:
        with_route = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC)
    except OSError:  # a kernel without IPv6
        return None
    try:
        with_route.connect(_ANYWHERE6)
        return str(with_route.getsockname()[0])
    except OSError:  # no route
        return None
    finally:
        with_route.close()


def _first(any_socket: socket) -> str | None:
    from array import array  # rare

    size, _ = _LIST.unpack(ioctl(any_socket, _SIOCGIFCONF, _LIST.pack(0, 0)))
    entries = array("B", bytes(size))
    ioctl(any_socket, _SIOCGIFCONF, _LIST.pack(size, entries.buffer_info()[0]))
    addresses = [address for _name, _port, address in _ENTRY.iter_unpack(entries)]
    return next((inet_ntoa(address) for address in addresses if address[0] not in (0, 127)), None)
