"""TCP segments in the notation of tcpdump: `P. 1:101(100) ack 1 win 512 urg 5 <mss 1460,sackOK,TS val 1 ecr 2,sack 5:9>`.

Numbers are relative to both initial sequence numbers, our timestamps to the beginning of the script, in milliseconds.
"""

import re
from typing import NamedTuple

from slirp_net.wire import tcp

_LETTERS = {"S": tcp.SYN, "F": tcp.FIN, "R": tcp.RST, "P": tcp.PSH, ".": tcp.ACK, "U": tcp.URG}
_SEGMENT = re.compile(
    r"(?P<flags>[SFRPU.]+) (?P<first>-?\d+):(?P<last>-?\d+)\((?P<length>\d+)\)"
    r"(?: ack (?P<ack>-?\d+))?(?: win (?P<win>\d+))?(?: urg (?P<urg>\d+))?(?: <(?P<options>[^>]*)>)?"
)


class Segment(NamedTuple):
    """A segment; what is None was not said, or is not there."""

    flags: int
    sequence: int
    length: int
    acknowledgement: int | None = None
    window: int | None = None
    urgent: int | None = None
    options: tuple[str, ...] | None = None

    def differs(self, sent: "Segment") -> bool:
        """Tell whether `sent` is something else than what this says; what this leaves out may be anything."""
        return any(said is not None and said != found for said, found in zip(self, sent, strict=True))

    def __str__(self) -> str:
        letters = "".join(letter for letter, flag in _LETTERS.items() if self.flags & flag)
        text = f"{letters} {self.sequence}:{self.sequence + self.length}({self.length})"
        for name, value in (("ack", self.acknowledgement), ("win", self.window), ("urg", self.urgent)):
            text += "" if value is None else f" {name} {value}"
        return text + f" <{','.join(self.options)}>" * bool(self.options)


def parse(text: str) -> Segment:
    """Read a segment. Raises `ValueError`."""
    match = _SEGMENT.fullmatch(text)
    if match is None:
        raise ValueError(f"not a segment: {text}")
    flags = sum(_LETTERS[letter] for letter in match["flags"])
    sequence, length = int(match["first"]), int(match["length"])
    if int(match["last"]) != sequence + length:
        raise ValueError(f"the numbers do not fit: {text}")
    numbers = [None if match[name] is None else int(match[name]) for name in ("ack", "win", "urg")]
    options = None if match["options"] is None else tuple(filter(None, (word.strip() for word in match["options"].split(","))))
    return Segment(flags, sequence, length, *numbers, options)


def emit_options(options: tuple[str, ...], ours: int, clock: int, *, is_syn: bool) -> bytes:
    """Return the container's options in wire form; blocks are relative to `ours`, echoes of our clock to `clock`."""
    values: dict[str, list[int]] = {}
    for option in options:
        name, *words = re.split(r"[ :]", option)
        values[name] = [int(word) for word in words if word not in ("val", "ecr")]
    times = (values["TS"][0], (values["TS"][1] + clock) & 0xFFFFFFFF) if "TS" in values else None
    if is_syn:
        mss, shift = (values.get(name, [None])[0] for name in ("mss", "wscale"))
        return tcp.Options(mss, shift, sack_permitted="sackOK" in values, times=times).emit()
    text = tcp.timestamps_option(*times) if times is not None else b""
    if "sack" in values:
        edges = [(edge + ours) & 0xFFFFFFFF for edge in values["sack"]]
        text += tcp.sack_option(list(zip(edges[::2], edges[1::2], strict=True)), len(text))
    return text


def describe_options(options: bytes, theirs: int, clock: int, *, is_syn: bool) -> tuple[str, ...]:
    """Return our options in words."""
    view = memoryview(options)
    found, (times, blocks) = tcp.parse_options(view), tcp.parse_later_options(view)
    words = []
    if is_syn:
        words += [f"mss {found.mss}"] if found.mss is not None else []
        words += [f"wscale {found.shift}"] if found.shift is not None else []
        words += ["sackOK"] if found.sack_permitted else []
    if times is not None:
        words.append(f"TS val {(times[0] - clock) & 0xFFFFFFFF} ecr {times[1]}")
    if blocks:
        edges = [f"{(left - theirs) & 0xFFFFFFFF}:{(right - theirs) & 0xFFFFFFFF}" for left, right in blocks]
        words.append("sack " + " ".join(edges))
    return tuple(words)
