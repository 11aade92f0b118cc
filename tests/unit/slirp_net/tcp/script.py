"""A container's side of one connection, written down segment by segment, with a clock that only the script moves."""

from slirp_net.tcp.connection import Connection
from slirp_net.tcp.sequence import MASK
from slirp_net.wire.tcp import ACK, FIN, PSH, RST, SYN, Options, parse_options

__all__ = ["ACK", "FIN", "PSH", "RST", "SYN", "Script", "Sent"]

MSS = 1460


class Sent:
    """A segment that the stack has sent; numbers are relative to both initial sequence numbers."""

    def __init__(self, segment: tuple[int, int, int, int, bytes, bytes | memoryview], ours: int, theirs: int) -> None:
        sequence, acknowledgement, self.flags, self.window, self.options, payload = segment
        self.sequence = (sequence - ours) & MASK
        self.acknowledgement = (acknowledgement - theirs) & MASK
        self.payload = bytes(payload)

    def __repr__(self) -> str:
        return f"Sent(seq={self.sequence} ack={self.acknowledgement} flags={self.flags:#x} win={self.window} {self.payload[:20]!r})"


class Script:
    """A container that connects; all its sequence numbers start at `theirs`, ours at `ours`, and are given relative to them."""

    def __init__(
        self, *, ours: int = 1000, theirs: int = 5000, window: int = 0xFFFF, options: Options | None = None, opened: bool = True
    ) -> None:
        self.ours, self.theirs = ours, theirs
        self.now = 100.0
        self.received = b""
        self.connection = Connection.passive(ours, MSS, theirs, window, options or Options(MSS, 7, sack_permitted=True), self.now)
        if opened:
            self.connection.accept(self.now)
            (self.syn,) = self.sent()
            self.syn_options = parse_options(memoryview(self.syn.options))
            self.events = self.take(1, 1, window=0xFFFF)

    def take(self, sequence: int, acknowledgement: int, flags: int = ACK, payload: bytes = b"", window: int = 0xFFFF) -> int:
        """Let a segment of the container arrive and return the events."""
        return self.connection.on_segment(
            (sequence + self.theirs) & MASK, (acknowledgement + self.ours) & MASK, flags, window, memoryview(payload), self.now
        )

    def drain(self) -> bytes:
        """Let the outside take all data that has arrived."""
        data = b"".join(map(bytes, self.connection.inbox))
        self.connection.inbox.clear()
        self.connection.consumed(len(data))
        return data

    def sent(self) -> list[Sent]:
        """Return what the stack sends now."""
        return [Sent(segment, self.ours, self.theirs) for segment in self.connection.poll(self.now)]

    def send(self, payload: bytes) -> Sent:
        """Let the outside send something."""
        assert self.connection.sendable() >= len(payload)
        return Sent(self.connection.send(memoryview(payload), None, self.now), self.ours, self.theirs)

    def wait(self) -> int:
        """Move the clock to the deadline and return the timer's events."""
        assert self.connection.deadline < 1e6, "nothing is scheduled"
        self.now = self.connection.deadline
        return self.connection.on_timer(self.now)
