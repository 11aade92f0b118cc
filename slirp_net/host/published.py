"""Published ports: what comes in from the outside to ports of the container.

Theory of operation. The engine has bound the sockets and passes them by (`publish`); it keeps them itself, too, so that a port is
not lost with this process. A connection is accepted at once and opened towards the container (`incoming`). A datagram goes to it,
and what it answers within two minutes goes back by the same socket, from the address that the datagram was sent to.

The container sees who asks, with the address and the port. Only who could not be answered is shown as the gateway: the node itself
by its loopback, an address in the container's own subnet, and, as the network has no IPv6, everybody with an IPv6 address. If
the gateway has that port in use already, another one is taken.
"""

from __future__ import annotations

import os
from _socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_IP,
    IPPROTO_IPV6,
    IPV6_PKTINFO,
    IPV6_RECVPKTINFO,
    inet_aton,
    socket,
)
from contextlib import suppress
from struct import Struct

from slirp_net.host.outside import SCARCE, let_reset
from slirp_net.loop import NEVER, READABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    from slirp_net.configuration import Configuration
    from slirp_net.host.tcp import Flows
    from slirp_net.host.udp import Datagrams
    from slirp_net.loop import Loop

_FAIR: Final = 64  # connections or datagrams taken in one round
_RESPITE: Final = 0.1  # seconds
_TRIES: Final = 16
_FIRST_DYNAMIC: Final = 49152  # RFC 6335, 6
_LARGEST: Final = 65507  # bytes of a datagram
_IP_PKTINFO: Final = 8  # linux/in.h
_MAPPED: Final = "::ffff:"
_INFO4: Final = Struct("i4s4s")  # in_pktinfo: interface, our address, the address in the header
_ANCILLARY: Final = 64  # bytes: a header and either kind of pktinfo


class Published:
    """All published ports; `add` takes one."""

    def __init__(self, flows: Flows, datagrams: Datagrams, loop: Loop) -> None:
        self._flows = flows
        self._datagrams = datagrams
        self._loop = loop

    def add(self, protocol: str, port: int, descriptor: int) -> None:
        """Serve a bound socket, which is taken over, for the container's `port`. Raises `ValueError` for another protocol."""
        if protocol not in ("tcp", "udp") or not 0 < port < 65536:
            raise ValueError(f"no port that can be published: {port}/{protocol}")
        outside = socket(fileno=descriptor)
        outside.setblocking(False)
        if protocol == "tcp":
            Listener(self._flows, self._loop, outside, port)
        else:
            Receiver(self._datagrams, self._loop, outside, port)


class Listener:
    """A socket that listens for connections to the container's `port`."""

    def __init__(self, flows: Flows, loop: Loop, listening: socket, port: int) -> None:
        self.alarm = NEVER
        self.deadline = NEVER
        self._flows = flows
        self._loop = loop
        self._listening = listening
        self._port = port
        loop.watch(listening.fileno(), READABLE, self._on_events)

    def on_timer(self) -> None:
        """Listen again, after there were no descriptors."""
        self.deadline = NEVER
        self._loop.watch(self._listening.fileno(), READABLE, self._on_events)

    def _on_events(self, _events: int) -> None:
        for _ in range(_FAIR):
            try:
                descriptor, address = self._listening._accept()  # type: ignore[attr-defined]  # socket.accept's own, without an enum
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in SCARCE:
                    self._rest()
                    return
                continue  # an error of that connection (accept(2), "error handling")
            self._take(socket(fileno=descriptor), address)

    def _rest(self) -> None:
        """Listen no more for a while: who asks waits in the kernel's queue."""
        self._loop.forget(self._listening.fileno())
        self.deadline = self._loop.now + _RESPITE
        self._loop.schedule(self)

    def _take(self, outside: socket, address: Sequence[Any]) -> None:
        outside.setblocking(False)
        configuration = self._flows.stack.configuration
        source, port = shown(configuration, str(address[0])), int(address[1])
        if self._flows.take_in(outside, source, port, self._port):
            return
        if source == configuration.gateway:
            for _ in range(_TRIES):
                if self._flows.take_in(outside, source, _dynamic_port(), self._port):
                    return
        with suppress(OSError):  # it has gone already
            let_reset(outside)
        outside.close()


class Receiver:
    """A socket that receives datagrams for the container's `port`."""

    def __init__(self, datagrams: Datagrams, loop: Loop, outside: socket, port: int) -> None:
        self._datagrams = datagrams
        self._loop = loop
        self._outside = outside
        self._port = port
        self._senders: dict[object, Sender] = {}
        if outside.family == AF_INET6:
            outside.setsockopt(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        elif outside.family == AF_INET:
            outside.setsockopt(IPPROTO_IP, _IP_PKTINFO, 1)
        loop.watch(outside.fileno(), READABLE, self._on_events)

    def answer(self, payload: memoryview, info: list[tuple[int, int, bytes]], address: Any) -> None:
        """Send a datagram of the container's to `address`; it is lost when the socket has no room, as on any network."""
        with suppress(OSError):
            self._outside.sendmsg([payload], info, 0, address)

    def remove(self, address: object) -> None:
        """Forget a sender."""
        self._senders.pop(address, None)

    def _on_events(self, _events: int) -> None:
        for _ in range(_FAIR):
            try:
                payload, ancillary, _, address = self._outside.recvmsg(_LARGEST, _ANCILLARY)
            except BlockingIOError:
                return
            except OSError:  # one of an earlier answer, told once
                continue
            sender = self._senders.get(address) or self._new_sender(address)
            if sender is not None:
                sender.received(memoryview(payload), _own_address(ancillary))

    def _new_sender(self, address: Any) -> Sender | None:
        stack = self._datagrams.stack
        source, port = shown(stack.configuration, str(address[0])), int(address[1])
        for _ in range(_TRIES):
            sender = Sender(self, self._datagrams, address, (source, port, self._port))
            if self._datagrams.add(sender):
                self._senders[address] = sender
                return sender
            if source != stack.configuration.gateway:
                return None
            port = _dynamic_port()
        return None


class Sender:
    """Who sends datagrams to a published port, and the way back to it; a flow of `udp.Datagrams`.

    `ends` are the address and port that it is shown with, and the container's port.
    """

    __slots__ = ("_address", "_datagrams", "_ends", "_info", "_receiver", "alarm", "deadline", "key")

    def __init__(self, receiver: Receiver, datagrams: Datagrams, address: object, ends: tuple[bytes, int, int]) -> None:
        self.alarm = NEVER
        self.deadline = NEVER
        self.key = ends[0] + ends[2].to_bytes(2, "big") + ends[1].to_bytes(2, "big")
        self._receiver = receiver
        self._datagrams = datagrams
        self._address = address
        self._ends = ends
        self._info: list[tuple[int, int, bytes]] = []

    def received(self, payload: memoryview, info: list[tuple[int, int, bytes]]) -> None:
        """Pass a datagram on to the container; answers leave with `info`."""
        self._info = info
        self._datagrams.extend(self)
        self._datagrams.stack.send_udp(*self._ends, payload)

    def send(self, _packet: memoryview, payload: memoryview) -> None:
        """Take an answer of the container's (`udp.Datagrams`)."""
        self._datagrams.extend(self)
        self._receiver.answer(payload, self._info, self._address)

    def on_timer(self) -> None:
        """End the flow: it was not used for a while."""
        self.close()

    def close(self) -> None:
        """End the flow."""
        self.deadline = NEVER
        self._receiver.remove(self._address)
        self._datagrams.remove(self)


def shown(configuration: Configuration, address: str) -> bytes:
    """Return the address that the container sees somebody with, who has `address` outside."""
    address = address.removeprefix(_MAPPED)
    if ":" in address:
        return configuration.gateway
    source = inet_aton(address)
    return configuration.gateway if source[0] in (0, 127) or configuration.in_subnet(source) else source


def _dynamic_port() -> int:
    return _FIRST_DYNAMIC + int.from_bytes(os.urandom(2), "big") % (65536 - _FIRST_DYNAMIC)


def _own_address(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Return what makes an answer leave from the address that was asked, of what came with the question (ip(7), ipv6(7))."""
    for level, kind, content in ancillary:
        if level == IPPROTO_IP and kind == _IP_PKTINFO:
            _interface, local, _asked = _INFO4.unpack(content[: _INFO4.size])
            return [(level, kind, _INFO4.pack(0, local, bytes(4)))]
        if level == IPPROTO_IPV6 and kind == IPV6_PKTINFO:
            return [(level, kind, content)]
    return []
