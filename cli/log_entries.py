"""The entries of a container's log, whichever driver wrote them, and how they are shown."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from cli.durations import parse_rfc3339

_STREAMS: Final = ("stdout", "stderr")


class Entry(NamedTuple):
    """One line, or a piece of a long one: `log` as the container wrote it, `stream` stdout or stderr, `time` RFC 3339.

    Bytes that are not UTF-8 are lone surrogates (PEP 383). `details` are what --details shows.
    """

    log: str
    stream: str
    time: str
    details: str = ""


class Selection(NamedTuple):
    """What is shown: the last `tail` entries (None: all), from `since` to `until` in nanoseconds since the epoch."""

    tail: int | None = None
    since: int | None = None
    until: int | None = None


def entries(lines: Iterable[bytes], selection: Selection) -> Iterator[Entry]:
    """Yield the entries of lines that are in the selected span of time; what a crash left unreadable is skipped."""
    for line in lines:
        try:
            entry = _parse(line)
            when = 0 if selection.since is None and selection.until is None else parse_rfc3339(entry.time)
        except (ValueError, KeyError, TypeError):
            continue
        if selection.since is not None and when < selection.since:
            continue
        if selection.until is not None and when > selection.until:
            return
        yield entry


def _parse(line: bytes) -> Entry:
    if not line.startswith(b"{"):
        return _parse_cri(line)
    document = json.loads(line)
    attributes = document.get("attrs")
    return Entry(str(document["log"]), str(document["stream"]), str(document["time"]), details_of(attributes) if attributes else "")


def details_of(attributes: Mapping[str, str]) -> str:
    """Return what --details shows of the attributes of an entry."""
    return ",".join(f"{name}={attributes[name]}" for name in sorted(attributes))


def _parse_cri(line: bytes) -> Entry:
    time, stream, flag, content = line.decode("utf-8", "surrogateescape").split(" ", 3)
    if stream not in _STREAMS or flag not in ("F", "P"):
        raise ValueError(line)
    return Entry(content + ("\n" if flag == "F" else ""), stream, time)


def to_bytes(text: str) -> bytes:
    """Return the bytes that a container wrote; characters that are none are left out by other programs, too."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")
