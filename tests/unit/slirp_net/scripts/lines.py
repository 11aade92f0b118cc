"""Packet scripts: one behaviour of an RFC a file, as lines that happen one after the other under a clock that only they move.

    # RFC 9293, 3.10.7.4: what the file shows, in words
    open                                    whatever the actor of the folder knows to do: a verb and its words
    +1.5 write 100                          the same, a second and a half later
    > P. 1:101(100) ack 1                   what the stack sends next, at this time exactly
    < . 1:1(0) ack 101                      what the container sends
    +10 nothing                             in all this time the stack sends nothing

Everything that the stack sends has to be in the script: what is left unsaid fails it. `#` begins a comment.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

_TITLE = re.compile(r"# RFC \d+, [^:]+: \S.*")
_LINE = re.compile(r"(?:\+(?P<after>[\d.]+)\s+)?(?P<verb>\S+)\s*(?P<rest>.*)")
TICK = 1e-6  # seconds: times that are nearer are the same


class Line(NamedTuple):
    """One line: its number, the seconds before it, its verb, and what follows."""

    number: int
    after: float
    verb: str
    rest: str


class Actor(Protocol):
    """Plays the lines of the scripts of one folder."""

    def advance(self, seconds: float) -> None:
        """Move the clock, and let happen what is due meanwhile."""

    def next_sent(self) -> tuple[float, str] | None:
        """Return what was sent first of what no line has named yet, and how many seconds ago."""

    def expect(self, text: str) -> None:
        """Compare what was sent next with `text`, what follows `>`, and forget it. Raises `AssertionError`."""

    def perform(self, verb: str, rest: str) -> None:
        """Do, or check, what any other line says."""


def read(path: Path) -> Iterator[Line]:
    """Yield the lines of a script. Raises `ValueError` for one that has no title."""
    text = path.read_text(encoding="ascii")
    if not _TITLE.match(text):
        raise ValueError(f"{path.name} does not say which RFC it is about")
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.fullmatch(line.partition("#")[0].strip())
        if match is not None:
            yield Line(number, float(match["after"] or 0), match["verb"], match["rest"].strip())


def play(path: Path, actor: Actor) -> None:
    """Play a script. Raises `AssertionError` that names the line where something else happened."""
    for line in read(path):
        try:
            _play_line(line, actor)
        except (AssertionError, LookupError, ValueError) as error:
            text = path.read_text(encoding="ascii").splitlines()[line.number - 1]
            raise AssertionError(f"{path.name}:{line.number}: {text}\n{type(error).__name__}: {error}") from error
    _nothing_left(actor)


def _play_line(line: Line, actor: Actor) -> None:
    if line.verb != ">":
        _nothing_left(actor)
    actor.advance(line.after)
    if line.verb == ">":
        sent = actor.next_sent()
        assert sent is not None, "nothing was sent"
        assert abs(sent[0]) < TICK, f"sent {sent[0]:.3f} seconds earlier: {sent[1]}"
        actor.expect(line.rest)
    else:
        _nothing_left(actor)
        if line.verb != "nothing":
            actor.perform(line.verb, line.rest)


def _nothing_left(actor: Actor) -> None:
    sent = actor.next_sent()
    assert sent is None, f"nobody expected: {sent and sent[1]}"
