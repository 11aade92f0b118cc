"""All TCP connections of the container: which segment belongs to which, and which may be made.

A flow is found by the address and the ports of its packets. A SYN to a place that exists makes one, and so does a connection that
comes in by a published port (`take_in`); any other segment of no flow is answered by a reset (RFC 9293, 3.10.7.1), which also is
how connections end that a previous process had on this device.
"""

from __future__ import annotations

import os

from slirp_net import destinations
from slirp_net.host.flow import Flow
from slirp_net.host.incoming import IncomingFlow
from slirp_net.host.outside import SCARCE
from slirp_net.tcp import states
from slirp_net.tcp.connection import Connection, reset_for
from slirp_net.wire import checksum, ip, ipv4, tcp
from slirp_net.wire.frames import Frame4, Frame6

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Protocol

    from slirp_net.buffers import Arena, Slot
    from slirp_net.device import Device
    from slirp_net.loop import Loop
    from slirp_net.stack import Stack

    class Service(Protocol):
        """Takes connections to an address and port of the stack's own."""

        def connect(self) -> socket:
            """Return a socket that is connected to the service, non-blocking. Raises `OSError`."""



class Flows:
    """The table of TCP flows; `most` is how many there may be. `services` are those of the stack's own ends: (address, port)."""

    def __init__(self, stack: Stack, tap: Device, loop: Loop, arena: Arena, most: int) -> None:
        self.stack = stack
        self.tap = tap
        self.loop = loop
        self.arena = arena
        self.refused = 0  # connections not made because of `most`
        self.services: dict[tuple[bytes, int], Service] = {}
        self._most = most
        self._flows: dict[bytes, Flow] = {}
        self._unsettled: list[Flow] = []
        self._starving: dict[Flow, None] = {}
        stack.carry(ipv4.TCP, self)
        loop.after_each_round(self._settle)

    def __len__(self) -> int:
        return len(self._flows)

    def on_packet(
        self, source: bytes, destination: bytes, packet: memoryview, payload: memoryview, slot: Slot | None, vouched: bool
    ) -> bool:
        """Take a TCP packet of the container's (`stack.Transport`)."""
        fields = tcp.parse(payload)
        if fields is None or not (vouched or _is_valid(source, destination, payload)):
            self.stack.dropped += 1
            return False
        key = destination + payload[:4]
        flow = self._flows.get(key)
        flags = fields[4]
        if flags & tcp.SYN:
            flow = self._on_syn(flow, key, destination, packet, payload, fields)
        elif flow is None:
            self._reset(destination, fields, len(payload) - fields[6])
        if flow is None:
            return False
        return flow.on_segment(fields, payload, slot)

    def take_in(self, outside: socket, source: bytes, source_port: int, port: int) -> bool:
        """Open a connection to the container's `port` for somebody outside, who is shown as `source` and its port.

        False when there is a connection between these ends already, or no room for one: then `outside` is still the caller's.
        """
        ports = port.to_bytes(2, "big") + source_port.to_bytes(2, "big")
        key = source + ports
        present = self._flows.get(key)
        if present is not None:
            if present.connection.state != states.TIME_WAIT:
                return False
            present.abort()
        if len(self._flows) >= self._most and not self._evict():
            self.refused += 1
            return False
        configuration = self.stack.configuration
        initial = int.from_bytes(os.urandom(4), "big")  # RFC 9293, 3.4.1
        connection = Connection.active(initial, configuration.mss4, self.loop.now)
        frame = Frame4(self.stack.ethernet_header, source, configuration.address, source_port, port)
        flow = self._flows[key] = IncomingFlow(self, key, connection, frame)
        flow.adopt(outside)
        return True

    def remove(self, flow: Flow) -> None:
        """Forget a flow that is gone."""
        if self._flows.get(flow.key) is flow:
            del self._flows[flow.key]

    def settle_later(self, flow: Flow) -> None:
        """Call the flow's `settle` at the end of this round."""
        flow.unsettled = True
        self._unsettled.append(flow)

    def wait_for_memory(self, flow: Flow) -> None:
        """Call the flow's `settle` when others have given memory back."""
        self._starving[flow] = None

    def give_back(self, slots: list[Slot]) -> None:
        """Take slots back and empty the list."""
        for slot in slots:
            self.arena.give(slot)
        slots.clear()
        if self._starving and self.arena.has_spare and self.arena.has_reserve:
            starving, self._starving = self._starving, {}
            for flow in starving:
                if not flow.unsettled:
                    self.settle_later(flow)

    def _settle(self) -> bool:
        flows = self._unsettled
        if not flows:
            return False
        self._unsettled = []
        for flow in flows:
            flow.unsettled = False
            if flow.settle() and not flow.unsettled:
                self.settle_later(flow)
        return bool(self._unsettled)

    def _on_syn(
        self, flow: Flow | None, key: bytes, destination: bytes, packet: memoryview, payload: memoryview, fields: tuple[int, ...]
    ) -> Flow | None:
        """Take a SYN; returns the flow whose business it is, if it is one's."""
        _, port, sequence, _acknowledgement, flags, window, length, _urgent = fields
        if flow is not None:
            if isinstance(flow, IncomingFlow) and flow.is_waiting and not flags & tcp.RST:
                flow.on_answer(fields, tcp.parse_options(payload[tcp.LENGTH : length]))
                return None
            if flags & (tcp.RST | tcp.ACK) or not flow.connection.may_be_replaced(sequence):
                return flow
            flow.abort()
        if flags & (tcp.RST | tcp.ACK | tcp.FIN):
            self._reset(destination, fields, 1)
            return None
        service = self.services.get((destination, port))
        address = "" if service is not None else destinations.resolve(self.stack.configuration, destination)
        if address == destinations.REFUSED:
            self._reset(destination, fields, 1)
        elif address == destinations.NO_HOST:
            self.stack.send_error(1, packet)
        elif address != destinations.SILENCE:
            options = tcp.parse_options(payload[tcp.LENGTH : length])
            initial = int.from_bytes(os.urandom(4), "big")  # RFC 9293, 3.4.1
            configuration = self.stack.configuration
            mss = configuration.mss6 if len(destination) == ip.LENGTH6 else configuration.mss4
            connection = Connection.passive(initial, mss, sequence, window, options, self.loop.now)
            self._open(key, connection, destination, fields, service or address, bytes(packet))
        return None

    def _open(
        self, key: bytes, connection: Connection, destination: bytes, fields: tuple[int, ...], target: Service | str, syn: bytes
    ) -> None:
        if len(self._flows) >= self._most and not self._evict():
            self.refused += 1  # the container tries again; perhaps there is room then
            return
        flow = Flow(self, key, connection, self._frame(destination, fields))
        self._flows[key] = flow
        try:
            if isinstance(target, str):
                flow.connect(target, fields[1], syn)
            else:
                flow.join(target.connect())
        except OSError as error:
            if error.errno in SCARCE:
                del self._flows[key]
                self.refused += 1
            else:
                flow.abort()

    def _evict(self) -> bool:
        """Make room by ending a connection that only waits for old segments; tells whether there was one."""
        for flow in self._flows.values():
            if flow.connection.state == states.TIME_WAIT:
                flow.abort()
                return True
        return False

    def _frame(self, destination: bytes, fields: tuple[int, ...]) -> Frame4 | Frame6:
        own = self.stack.configuration.own_address(destination)
        if len(destination) == ip.LENGTH6:
            return Frame6(self.stack.ethernet_header6, destination, own, fields[1], fields[0])
        return Frame4(self.stack.ethernet_header, destination, own, fields[1], fields[0])

    def _reset(self, destination: bytes, fields: tuple[int, ...], length: int) -> None:
        """Answer a segment of no flow; `length` is what it takes up of the sequence."""
        segment = reset_for(fields[2], fields[3], fields[4], length + (fields[4] & tcp.FIN))
        if segment is not None:
            self.tap.write(self._frame(destination, fields).emit(*segment[:5], 0))


def _is_valid(source: bytes, destination: bytes, segment: memoryview) -> bool:
    return checksum.is_valid(segment, ipv4.pseudo_sum(ipv4.TCP, source, destination) + len(segment))
