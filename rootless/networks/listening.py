"""The node's end of published ports: sockets, bound before anything of a container starts, so that a port in use is an error.

The container's monitor holds them for as long as it lives, over restarts of the container and of its network stack, which gets
copies: who connects in between waits in the kernel's queue.
"""

import errno
import socket
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rootless.errors import InUse, NodeLacks, RlError, os_error_text
from rootless.networks.publishing import Bindings, range_of

_BACKLOG: Final = 4096  # the kernel's own limit is net.core.somaxconn
_ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - as Docker publishes; -p 127.0.0.1:… is for the node alone
_TRIES: Final = 32  # ports that are free for IPv4 and not for IPv6
_NO_IPV6: Final = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_PRIVILEGED: Final = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


class Listening(NamedTuple):
    """One bound socket, for the container's `port` (80/tcp), with the address and port of the node that it is bound to."""

    port: str
    socket: socket.socket
    address: str
    host_port: int


class Listeners:
    """The bound sockets of one container."""

    def __init__(self, bindings: Mapping[str, Sequence[Mapping[str, str]]]) -> None:
        """Bind them all (`publishing.Bindings`), or none. Raises `InUse`, `NodeLacks`, `RlError`."""
        self.all: list[Listening] = []
        try:
            for port, ones in bindings.items():
                for one in ones:
                    self._bind_range(port, one["HostIp"], one["HostPort"])
        except BaseException:
            self.close()
            raise

    def shown(self) -> Bindings:
        """Return them as NetworkSettings.Ports has them."""
        ports: Bindings = {}
        for one in self.all:
            ports.setdefault(one.port, []).append({"HostIp": one.address, "HostPort": str(one.host_port)})
        return ports

    def close(self) -> None:
        """Give the ports back."""
        for one in self.all:
            one.socket.close()
        self.all.clear()

    def _bind_range(self, port: str, address: str, host_port: str) -> None:
        """Bind one port of a range, or any."""
        first, last = range_of(host_port)
        for number in range(first, last) if first else [0] * _TRIES:
            try:
                self._bind(port, address, number)
            except InUse:
                continue
            return
        self._bind(port, address, last)

    def _bind(self, port: str, address: str, number: int) -> None:
        """Bind a port at one address of the node, or at all: of IPv4, and of IPv6 where the node has it."""
        bound: list[Listening] = []
        try:
            for each in (address,) if address else _ANY:
                try:
                    made = _open(port, each, number)
                except OSError as error:
                    if each == "::" and not address and error.errno in _NO_IPV6:
                        continue
                    raise _explained(error, port, each, number) from error
                bound.append(made)
                number = made.host_port
        except RlError:
            for one in bound:
                one.socket.close()
            raise
        self.all += bound


def _open(port: str, address: str, number: int) -> Listening:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    is_stream = port.endswith("/tcp")
    made = socket.socket(family, socket.SOCK_STREAM if is_stream else socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if is_stream:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of before may still be in TIME_WAIT
        made.bind((address, number))
        if is_stream:
            made.listen(_BACKLOG)
        return Listening(port, made, address, made.getsockname()[1])
    except OSError:
        made.close()
        raise


def _explained(error: OSError, port: str, address: str, number: int) -> RlError:
    protocol = port.partition("/")[2]
    place = f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
    message = f"cannot publish port {port} at {place}: "
    if error.errno == errno.EADDRINUSE:
        return InUse(f"{message}the port is already in use", f"choose another one, or find who has it: ss -l{protocol[0]}np")
    if error.errno == errno.EACCES:
        start = _first_unprivileged()
        return NodeLacks(
            f"{message}ports below {start} are not for users on this node",
            f"use one from {start} on, or ask the administrator for: sysctl net.ipv4.ip_unprivileged_port_start={number}",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return NodeLacks(f"{message}the node has no such address", "see its addresses with: ip address")
    return RlError(f"{message}{os_error_text(error)}")


def _first_unprivileged() -> int:
    try:
        with open(_PRIVILEGED, "rb") as file:
            return int(file.read())
    except OSError:  # no /proc/sys in here; it is the kernel's default
        return 1024
