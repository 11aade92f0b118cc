"""Answers of the host's name servers, kept for a short while.

Theory of operation. A program that asks the same again and again need not wait for the host each time. But the host's
own resolver (systemd-resolved, dnsmasq) mostly keeps answers as well, and knows when a VPN comes or goes where its address in
resolv.conf stays the same; so nothing is kept for longer than LONGEST seconds here, and for LONGEST_NEGATIVE if it says that
there is nothing. A kept answer's times to live go down with its age. The oldest make room.
"""

from __future__ import annotations

from slirp_net.wire import dns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LONGEST: Final = 30  # seconds
LONGEST_NEGATIVE: Final = 5
MOST: Final = 512  # answers
_LARGEST: Final = 4096  # bytes of an answer; so there are 2 MiB at most


class Cache:
    """Answers by what was asked."""

    def __init__(self) -> None:
        self._kept: dict[tuple[object, ...], tuple[bytes, tuple[int, ...], float, float]] = {}  # with the times kept and ending

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, question: dns.Question, now: float) -> bytes | None:
        """Return an answer as it would be now, but for the identifier and the question's case; None when none is kept."""
        kept = self._kept.get(_key(question)) if question.plain else None
        if kept is None:
            return None
        message, places, since, until = kept
        if now >= until:
            del self._kept[_key(question)]
            return None
        return dns.aged(message, places, int(now - since))

    def put(self, question: dns.Question, message: bytes, now: float) -> None:
        """Keep the answer to a question if it may be kept."""
        if not question.plain or len(message) > _LARGEST:
            return
        found = dns.lifetime(message, question)
        if found is None:
            return
        seconds, places = found
        has_answers = dns.code_of(message) == dns.NO_ERROR and message[6:8] != b"\0\0"
        seconds = min(seconds, LONGEST if has_answers else LONGEST_NEGATIVE)
        if seconds <= 0:
            return
        key = _key(question)
        self._kept.pop(key, None)
        while len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = (message, places, now, now + seconds)

    def clear(self) -> None:
        """Forget everything: other servers may say something else."""
        self._kept.clear()


def _key(question: dns.Question) -> tuple[object, ...]:
    """Return what an answer depends on."""
    edns = None if question.edns is None else question.edns[1]
    return question.name, question.kind, question.kind_class, question.flags, edns
