"""The patterns of `${v#p}`, `${v%p}` and `${v/p/w}`: `*` and `?`, with a backslash before what stands for itself (no brackets)."""

import re

from rootless.build.dockerfile.errors import ExpansionError


def without_prefix(value: str, pattern: str, greedy: bool) -> str:
    """Return `value` without the shortest, or longest, prefix that the pattern matches. Raises `ExpansionError`."""
    match = _compiled(pattern, greedy).match(value)
    return value[match.end() :] if match is not None else value


def without_suffix(value: str, pattern: str, greedy: bool) -> str:
    """Return `value` without the shortest, or longest, suffix that the pattern matches. Raises `ExpansionError`."""
    # A regular expression finds the leftmost match: both are turned around, with the escapes still before what they escape.
    pieces = re.findall(r"(?s)\\.|.", pattern)
    return without_prefix(value[::-1], "".join(reversed(pieces)), greedy)[::-1]


def replaced(value: str, pattern: str, replacement: str, every: bool) -> str:
    """Return `value` with the first match, or every one, of the pattern replaced. Raises `ExpansionError`."""
    return _compiled(pattern, greedy=True).sub(lambda _match: replacement, value, count=0 if every else 1)


def _compiled(pattern: str, greedy: bool) -> re.Pattern[str]:
    """Return the regular expression of a pattern."""
    parts: list[str] = []
    for piece in re.findall(r"(?s)\\.|.", pattern):
        if piece == "*":
            # Several stars are one, and would be tried in every combination.
            star = ".*" if greedy else ".*?"
            parts += [] if parts[-1:] == [star] else [star]
        elif piece == "?":
            parts.append(".")
        elif piece[0] != "\\":
            parts.append(re.escape(piece))
        elif piece[1:] in ("*", "?", "\\", "}", "/"):
            parts.append(re.escape(piece[1:]))
        else:
            raise ExpansionError(f"invalid pattern ({pattern:.200}) in substitution: invalid escape '{piece}'")
    return re.compile("".join(parts))
