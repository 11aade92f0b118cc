"""What the callers of the life-cycle storm did: a line each, shown when something is wrong, and a summary."""

import re
import threading
import time
from collections import Counter, defaultdict
from typing import NamedTuple


class Entry(NamedTuple):
    """A call that has ended, or a kill."""

    began: float  # seconds since the beginning
    ended: float
    caller: int
    what: str
    status: int | None
    said: str

    def __str__(self) -> str:
        """A line, and what the call said on standard error."""
        said = "".join(f"\n      {line}" for line in self.said.splitlines())
        return f"{self.began:8.3f} {self.ended:8.3f} [{self.caller}] {self.what} -> {self.status}{said}"


class Journal:
    """Everything that was done, and what was wrong with it; used by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._entries: list[Entry] = []
        self._statuses: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._longest: defaultdict[str, float] = defaultdict(float)
        self._texts: Counter[str] = Counter()
        self.steps = 0
        self.faults: list[str] = []

    def now(self) -> float:
        """Return the seconds since the beginning."""
        return time.monotonic() - self._begun

    def note(self, entry: Entry, *, killed: bool = False, lasts: bool = False) -> None:
        """Note what a caller did."""
        verb = entry.what.split()[0]
        with self._lock:
            self.steps += 1
            self._entries.append(entry)
            self._statuses[verb]["killed" if killed else str(entry.status)] += 1
            if not lasts:
                self._longest[verb] = max(self._longest[verb], entry.ended - entry.began)
            for line in entry.said.splitlines():
                self._texts[f"{verb}: {_without_names(line)}"] += 1

    def blame(self, text: str) -> None:
        """Note that something is wrong."""
        with self._lock:
            self.faults.append(f"at {self.now():.3f}: {text}")

    def forget_entries(self) -> None:
        """Begin a new round: what was done before it is of no use any more."""
        with self._lock:
            self._entries.clear()

    def story(self) -> str:
        """Return what was done in this round, in the order of the ends."""
        with self._lock:
            return "\n".join(str(entry) for entry in sorted(self._entries, key=lambda entry: entry.ended))

    def summary(self) -> str:
        """Return how often each verb ended how, its longest time, and what was said on standard error."""
        lines = [f"{self.steps} steps in {self.now():.0f} s"]
        for verb, counts in sorted(self._statuses.items()):
            ends = ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))
            lines.append(f"  {verb:12} {ends}; longest {self._longest[verb]:.1f} s")
        lines += [f"  {count:5} {text}" for text, count in sorted(self._texts.items())]
        return "\n".join(lines)


def _without_names(line: str) -> str:
    line = re.sub(r"\b[0-9a-f]{12,64}\b", "ID", line)
    line = re.sub(r"\b(?:one|two|three|four|five)\b", "NAME", line)
    return re.sub(r"/var/tmp/rlt-\w+|\b\d+\b", "…", line)
