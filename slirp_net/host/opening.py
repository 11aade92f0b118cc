"""A TCP connection to the outside that is being made, and what the container is told when it fails.

While it is being made the socket keeps the ICMP errors that come (`icmp_errors`), and each one ends the attempt, so that the
container gets it at once. Later ones must not end a connection (RFC 1122, 4.2.3.9), so then it keeps none.
"""

from __future__ import annotations

from _socket import IPPROTO_TCP, SO_KEEPALIVE, SO_OOBINLINE, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY

from slirp_net.host import icmp_errors
from slirp_net.host.outside import UNREACHABLE, open_socket
from slirp_net.wire import ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket

    from slirp_net.stack import Stack


class Opening:
    """The attempt that the container's packet `syn` asks for, to a port of `address`."""

    __slots__ = ("_peer", "_syn", "outside")

    def __init__(self, address: str, syn: bytes) -> None:
        """Make the socket. Raises `OSError`."""
        self._syn = syn
        self._peer = ip.parse_address(address)
        self.outside: socket = open_socket(address, SOCK_STREAM)

    def begin(self, address: str, port: int) -> int:
        """Begin to connect and return the errno, as connect_ex does. Raises `OSError`."""
        outside = self.outside
        outside.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)  # the container's own kernel has decided when to send
        outside.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
        outside.setsockopt(SOL_SOCKET, SO_OOBINLINE, 1)
        icmp_errors.ask_for(outside)
        icmp_errors.pass_on_time(outside, self._syn, 0)
        return outside.connect_ex((address, port))

    def succeed(self) -> None:
        """Take note that the connection is made."""
        icmp_errors.ask_for(self.outside, wanted=False)

    def fail(self, stack: Stack, number: int) -> bool:
        """Tell the container by ICMP why the attempt failed with an errno; False if it was none of ICMP's errors."""
        if icmp_errors.tell(stack, self.outside, self._peer, ip.destination_of(self._syn), lambda _sent: self._syn):
            return True
        code = UNREACHABLE.get(number)
        if code is None:
            return False
        stack.send_error(code, self._syn)
        return True
