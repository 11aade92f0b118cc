"""One TCP connection through the stack: the container's end (`tcp.connection`) and the host's socket, coupled.

Theory of operation. Out: what the container sends goes from the slot it was read into straight to the socket; what the socket does
not take is queued, keeping the slot, and counts against the container's window until EPOLLOUT says that there is room. In: the
socket is read only as far as the container's window reaches, into slots that are kept until the container has acknowledged
them; so a slow container stops the reading, and the kernel closes the window of the outside.

    the container                          the socket
    SYN                                    connect(2); the SYN is answered when it has succeeded
    FIN, after all queued data             shutdown(SHUT_WR)
    RST                                    close with a reset (SO_LINGER 0)
    <- RST or ICMP unreachable             connect(2) failed
    <- FIN                                 end of file
    <- RST                                 any later error
    URG                                    MSG_OOB, or SIOCATMARK

The socket is watched edge-triggered: `_readable` and `_writable` remember the last edge until a call has come back empty-handed. A
read that gets less than it asks for has emptied the socket (epoll(7)), or has stopped before an urgent byte, or before the end,
which `_ending` tells. There is no reading on in the first case: a byte that comes meanwhile could be urgent, and nothing would
say so.
"""

from __future__ import annotations

from _socket import SHUT_WR, SO_ERROR, SOL_SOCKET
from errno import EINPROGRESS, ENOTCONN
from fcntl import ioctl
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP

from slirp_net.host.opening import Opening
from slirp_net.host.outside import let_reset
from slirp_net.loop import ALL_EDGES, NEVER
from slirp_net.tcp.connection import KEEP_ALIVE
from slirp_net.tcp.states import ENDED, GONE, OPENED, RESET, TIMED_OUT
from slirp_net.wire import tcp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _socket import socket
    from typing import Final

    from slirp_net.buffers import Slot
    from slirp_net.host.tcp import Flows
    from slirp_net.tcp.connection import Connection
    from slirp_net.tcp.emission import Segment
    from slirp_net.wire.frames import Frame4, Frame6

_FIRST_WINDOW: Final = 65536  # bytes; it grows with what the socket takes
_SMALL: Final = 4096  # bytes; below that a copy is cheaper than a slot kept
_FAIR: Final = 16  # segments read from a socket in one round
_SIOCATMARK: Final = 0x8905
_NO: Final = bytes(4)  # as the ioctl says it, a C int
_ACKNOWLEDGE_EVERY: Final = 256 * 1024  # bytes: within a round, so that the container does not stop while we work


class Flow:
    """A connection and its socket; `key` is its place in the table of flows."""

    __slots__ = (
        "_capacity", "_charged", "_chunk", "_connected", "_ended", "_ending", "_flows", "_frame", "_has_mark",
        "_opening", "_queue", "_readable", "_reading", "_socket", "_writable", "alarm", "connection", "key", "unsettled",
    )  # fmt: skip

    def __init__(self, flows: Flows, key: bytes, connection: Connection, frame: Frame4 | Frame6) -> None:
        """Use the flow by `connect` or `join`; `flows` is the table it belongs to."""
        self.key = key
        self.connection = connection
        self.alarm = NEVER
        self.unsettled = False  # whether the table is to call `settle`
        self._flows = flows
        self._frame = frame
        self._socket: socket | None = None
        self._opening: Opening | None = None  # until it is connected
        self._queue: list[tuple[memoryview, Slot]] = []
        self._charged = 0  # bytes that arrived early, as the arena counts them
        self._connected = False
        self._ending = False  # the outside has ended the stream, or the connection
        self._readable = False
        self._writable = False
        self._reading = True  # until the socket's end of file
        self._has_mark = True  # whether the socket knows urgent data
        self._ended = False  # the container has sent its FIN
        connection.keep_alive = KEEP_ALIVE
        self._measure()

    def _measure(self) -> None:
        """Fit the window and the segments to what the container's SYN says."""
        receiver, sender = self.connection.receiver, self.connection.sender
        self._capacity = receiver.capacity  # of the window, at most
        receiver.capacity = min(self._capacity, _FIRST_WINDOW)
        if sender.mss:
            self._frame.limit(sender.mss, tcp.TIMESTAMPS_LENGTH if self.connection.timestamps is not None else 0)
            self._chunk = self._frame.LARGEST // sender.mss * sender.mss

    @property
    def deadline(self) -> float:
        """When `on_timer` is to be called."""
        return self.connection.deadline

    def connect(self, address: str, port: int, syn: bytes) -> None:
        """Connect to the outside; `syn` is the container's packet, for ICMP errors to quote. Raises `OSError` without a socket."""
        self._opening = opening = Opening(address, syn)
        self._socket = opening.outside
        self._flows.loop.watch(self._socket.fileno(), ALL_EDGES, self.on_events)
        number = opening.begin(address, port)
        if number not in (0, EINPROGRESS):
            self._refuse(number)

    def join(self, inside: socket) -> None:
        """Use a socket that is connected already, to a service of the stack's own."""
        self._socket = inside
        self._has_mark = False
        self._flows.loop.watch(inside.fileno(), ALL_EDGES, self.on_events)

    def on_segment(self, fields: tuple[int, ...], segment: memoryview, slot: Slot | None) -> bool:
        """Take a segment of the container's, with its header's fields (`wire.tcp.parse`), and tell whether its slot was kept."""
        header = fields[6]
        payload = segment[header:]
        options = segment[tcp.LENGTH : header] if header > tcp.LENGTH else None
        connection, arena = self.connection, self._flows.arena
        flags = fields[4]
        connection.receiver.may_keep = arena.has_room
        if payload and not connection.receiver.may_keep and (self._queue or not self._writable):
            payload = payload[:0]  # it would have to be kept: as if it had been lost
            flags &= ~tcp.FIN
        now = self._flows.loop.now
        events = connection.on_segment(fields[2], fields[3], flags, fields[5], payload, now, options=options, urgent=fields[7])
        if connection.receiver.early != self._charged:
            self._charge(connection.receiver.early)
        kept = False
        if connection.inbox:
            kept = self._deliver(slot)
            if connection.receiver.next - connection.receiver.announced >= _ACKNOWLEDGE_EVERY and self.key:
                self._send_due()
        if connection.sender.released:
            self._flows.give_back(connection.sender.released)
        if not self.key:
            return kept  # writing has shown that the outside has reset the connection
        if events & (OPENED | ENDED | RESET | GONE):
            self._on_change(events)
        if not self.unsettled:
            self._flows.settle_later(self)
        return kept

    def on_events(self, events: int) -> None:
        """Take the events of the socket."""
        if not self._connected:
            self._on_connected()
        elif events & EPOLLERR and not self._reading:
            self._on_error()
        if self._socket is None:
            return
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            self._readable = self._reading
            self._ending |= bool(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        if events & EPOLLOUT:
            self._writable = True
            if self._queue:
                self._drain()
        if not self.unsettled:
            self._flows.settle_later(self)

    def on_timer(self) -> None:
        """Do what is due at `deadline`."""
        events = self.connection.on_timer(self._flows.loop.now)
        if events & TIMED_OUT:
            self.abort()
        elif events & GONE:
            self._forget(reset=False)
        else:
            self._send_due()

    def settle(self) -> bool:
        """Read what the container has room for, send what is due; tells whether there is more to do at once."""
        if not self.key:
            return False
        more = self._readable and self._pump()
        if self.key:
            self._send_due()
            self._flows.loop.schedule(self)
        return more

    def abort(self) -> None:
        """Reset both ends."""
        segment = self.connection.abort()
        if segment is not None:
            self._emit(segment)
        self._forget(reset=True)

    def _on_connected(self) -> None:
        assert self._socket is not None
        number = self._socket.getsockopt(SOL_SOCKET, SO_ERROR)
        if number:
            self._refuse(number)
            return
        self._connected = True
        if self._opening is not None:
            self._opening.succeed()
            self._opening = None
        self.connection.accept(self._flows.loop.now)

    def _refuse(self, number: int) -> None:
        """Tell the container that connect(2) failed with the errno `number`."""
        if self._opening is None or not self._opening.fail(self._flows.stack, number):
            self.abort()
            return
        self.connection.abort()
        self._forget(reset=False)

    def _on_error(self) -> None:
        assert self._socket is not None
        if self._socket.getsockopt(SOL_SOCKET, SO_ERROR):
            self.abort()

    def _on_change(self, events: int) -> None:
        if events & ENDED:
            self._ended = True
            if not self._queue:
                self._end_writing()
        if events & GONE:
            self._forget(reset=bool(events & RESET))

    def _deliver(self, slot: Slot | None) -> bool:
        """Give the inbox to the socket, queue what it does not take, and tell whether the slot was kept for that."""
        connection, arena = self.connection, self._flows.arena
        inbox = connection.inbox
        connection.inbox = []
        kept = False
        for payload in inbox:
            if self._writable and not self._queue:
                sent = self._write(payload)
                if sent == len(payload):
                    if connection.receiver.capacity < self._capacity and not arena.is_short:
                        connection.receiver.capacity = min(connection.receiver.capacity << 1, self._capacity)
                    continue
                payload = payload[sent:]  # noqa: PLW2901 - the rest of it
            if not self.key:
                return kept
            if slot is not None and len(payload) >= _SMALL and payload.obj is slot.view.obj and arena.has_plenty:
                self._queue.append((payload, slot))
                kept = True
            else:
                copy = arena.copy(payload)
                self._queue.append((copy.view, copy))
        if arena.is_short and self._queue:
            connection.receiver.capacity = min(self._capacity, _FIRST_WINDOW)
        return kept

    def _charge(self, early: int) -> None:
        """Let the arena count the bytes that wait for others before them."""
        self._flows.arena.copied += early - self._charged
        self._charged = early

    def _write(self, payload: memoryview) -> int:
        """Write to the socket and return how much it took; an error ends the flow."""
        assert self._socket is not None
        try:
            mark = self.connection.receiver.urgent
            if mark is None:
                sent = self._socket.send(payload)
            else:
                from slirp_net.host import urgent  # rare

                sent = urgent.send(self._socket, payload, mark - self.connection.receiver.unread)
        except BlockingIOError:
            self._writable = False
            return 0
        except OSError:  # the outside has reset the connection, which is what the container is told
            self.abort()
            return 0
        if sent != len(payload):
            self._writable = False
        self.connection.consumed(sent)
        return sent

    def _drain(self) -> None:
        """Write the queue, now that the socket has room."""
        queue = self._queue
        while queue and self._writable:
            payload, slot = queue[0]
            sent = self._write(payload)
            if not self.key:
                return
            if sent < len(payload):
                queue[0] = (payload[sent:], slot)
                return
            del queue[0]
            self._flows.give_back([slot])
        if not queue and self._ended:
            self._end_writing()

    def _end_writing(self) -> None:
        assert self._socket is not None
        try:
            self._socket.shutdown(SHUT_WR)
        except OSError as error:
            if error.errno != ENOTCONN:  # the outside has reset the connection: the next read tells
                raise
        if not self._reading:
            self._close_socket(reset=False)

    def _pump(self) -> bool:
        """Read from the socket into the container's window; tells whether there is more to read at once."""
        connection, arena, now = self.connection, self._flows.arena, self._flows.loop.now
        if not arena.has_reserve:
            self._flows.wait_for_memory(self)
            return False
        for _ in range(_FAIR):
            room = connection.sendable()
            if not room:
                connection.wait_for_window(now)
                return False
            slot = arena.take()
            if slot is None:
                self._flows.wait_for_memory(self)
                return False
            is_urgent = self._is_at_mark()
            most = 1 if is_urgent else min(room, self._chunk)
            count = self._read(slot, most)
            if count <= 0:
                arena.give(slot)
                if count == 0:
                    self._end_reading()
                return False
            payload = slot.view[:count]
            if count < _SMALL:
                copy = arena.copy(payload)
                payload = copy.view
                arena.give(slot)
                slot = copy
            if is_urgent:
                self._emit(connection.send_urgent(payload, slot, now))
            else:
                self._emit(connection.send(payload, slot, now))
            if count < most and not self._ending and not self._is_at_mark():
                self._readable = False
                return False
        return True

    def _is_at_mark(self) -> bool:
        """Tell whether the next byte to read is urgent; the socket never reads past such a byte's beginning in one call."""
        assert self._socket is not None
        return self._has_mark and ioctl(self._socket.fileno(), _SIOCATMARK, _NO) != _NO

    def _read(self, slot: Slot, most: int) -> int:
        """Read from the socket; returns 0 at its end and -1 when there is nothing, or when an error has ended the flow."""
        assert self._socket is not None
        try:
            return self._socket.recv_into(slot.view, most)
        except BlockingIOError:
            self._readable = False
        except OSError:  # the outside has reset the connection, which is what the container is told
            self.abort()
        return -1

    def _end_reading(self) -> None:
        self._readable = self._reading = False
        self.connection.close(self._flows.loop.now)
        if self._ended and not self._queue:
            self._close_socket(reset=False)

    def _send_due(self) -> None:
        for segment in self.connection.poll(self._flows.loop.now):
            self._emit(segment)

    def _emit(self, segment: Segment) -> None:
        sequence, acknowledgement, flags, window, options, payload = segment
        headers = self._frame.emit(sequence, acknowledgement, flags, window, options, len(payload))
        self._flows.tap.write((*headers, payload) if payload else headers)

    def _close_socket(self, *, reset: bool) -> None:
        if self._socket is None:
            return
        if reset:
            let_reset(self._socket)
        self._flows.loop.forget(self._socket.fileno())
        self._socket.close()
        self._socket = None
        self._readable = False

    def _forget(self, *, reset: bool) -> None:
        """Give everything back; the flow is not in the table any more."""
        self._close_socket(reset=reset)
        self._flows.give_back(self.connection.sender.released)
        self._flows.give_back([slot for _payload, slot in self._queue])
        self._charge(0)
        self._queue = []
        if self.key:
            self._flows.remove(self)
            self.key = b""
