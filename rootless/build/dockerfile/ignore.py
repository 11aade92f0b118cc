"""`.dockerignore`, and the patterns of --exclude and of COPY's sources: Go's filepath.Match, with `**` and `!`.

As github.com/moby/patternmatcher has it: a pattern that matches a folder matches all below it, the last pattern that matches
decides, and one with `!` takes back in.
"""

import functools
import posixpath
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from rootless.errors import InvalidInput

_SPECIAL: Final = frozenset(".+()|{}$^")
_MAGIC: Final = re.compile(r"[*?\[\\]")


class _Pattern(NamedTuple):
    includes: bool  # with !
    match: re.Pattern[str]
    fixed: str  # the folders that it begins with, without wildcards


class Ignored:
    """Tells which paths of a context are left out; paths are relative, without `.` and `..`."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self._patterns = [_pattern(one) for one in self.patterns]
        self._taken_back = [one for one in self._patterns if one.includes]

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def has(self, path: str) -> bool:
        """Tell whether a path is left out."""
        if path in ("", "."):  # the context itself
            return False
        left_out = False
        parents = [path[:at] for at, letter in enumerate(path) if letter == "/"]
        for pattern in self._patterns:
            if pattern.includes != left_out:
                continue  # it could not change anything
            if pattern.match.fullmatch(path) or any(map(pattern.match.fullmatch, parents)):
                left_out = not pattern.includes
        return left_out

    def may_have_others_below(self, folder: str) -> bool:
        """Tell whether a `!` may take back in something below a folder that is left out."""
        return any(
            not one.fixed or one.fixed.startswith(f"{folder}/") or f"{folder}/".startswith(f"{one.fixed}/") or one.fixed == folder
            for one in self._taken_back
        )


NOTHING: Final = Ignored(())


def read_ignored(text: str, name: str) -> Ignored:
    """Return what a file's lines leave out; lines that begin with # are comments. Raises `InvalidInput` naming the file."""
    patterns = []
    for line in text.removeprefix("\ufeff").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        patterns.append(_cleaned(line.strip()))
    try:
        return Ignored(patterns)
    except InvalidInput as error:
        raise InvalidInput(f"error from {name}: {error.message}", error.hint) from None


def has_wildcards(path: str) -> bool:
    """Tell whether a path of COPY is a pattern."""
    return _MAGIC.search(path) is not None


@functools.lru_cache(256)
def compiled(pattern: str, *, spans: bool = False) -> re.Pattern[str]:
    """Return Go's pattern as a regular expression; with `spans` `**` matches any number of folders. Raises `InvalidInput`."""
    try:
        return re.compile(_translated(pattern, spans), re.DOTALL)
    except (re.error, ValueError, OverflowError):
        raise InvalidInput(f"syntax error in pattern: {pattern!r:.200}", "see Go's filepath.Match") from None


def _cleaned(pattern: str) -> str:
    """Return a line's pattern in its shortest form, relative to the context."""
    sign = "!" if pattern.startswith("!") else ""
    path = pattern.removeprefix("!").strip()
    if path:
        path = posixpath.normpath(path)
        path = path.lstrip("/") if len(path) > 1 else path
    return sign + path


def _pattern(text: str) -> _Pattern:
    includes = text.startswith("!")
    if text == "!":
        raise InvalidInput('illegal exclusion pattern: "!"', "give a path after the !")
    path = posixpath.normpath(text.removeprefix("!").strip())
    fixed = path[: found.start()].rpartition("/")[0] if (found := _MAGIC.search(path)) else path
    return _Pattern(includes, compiled(path, spans=True), fixed)


def _translated(pattern: str, spans: bool) -> str:
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        letter = pattern[at]
        at += 1
        if letter == "*" and spans and pattern.startswith("*", at):
            at += 1
            at += pattern.startswith("/", at)
            parts.append(".*" if at >= len(pattern) else "(?:.*/)?")
        elif letter in "*?":
            parts.append("[^/]*" if letter == "*" else "[^/]")
        elif letter == "\\":
            if at == len(pattern):
                raise ValueError(pattern)
            parts.append(re.escape(pattern[at]))
            at += 1
        elif letter == "[":
            members, at = _class(pattern, at)
            parts.append(members)
        else:
            parts.append(re.escape(letter) if letter in _SPECIAL or letter == "]" else letter)
    return "".join(parts)


def _class(pattern: str, at: int) -> tuple[str, int]:
    """Return a class of letters as a regular expression, and where it ends; it never matches `/`."""
    sign = ""
    if pattern.startswith("^", at):
        sign, at = "^", at + 1
    members: list[str] = []
    while at < len(pattern) and (pattern[at] != "]" or not members):
        low, at = _member(pattern, at)
        if pattern.startswith("-", at):
            high, at = _member(pattern, at + 1)
            members.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            members.append(re.escape(low))
    if at >= len(pattern):
        raise ValueError(pattern)
    return f"(?!/)[{sign}{''.join(members)}]", at + 1


def _member(pattern: str, at: int) -> tuple[str, int]:
    """Return one letter of a class, and where the next begins. Raises `ValueError` where Go finds none."""
    if at >= len(pattern) or pattern[at] in "-]":
        raise ValueError(pattern)
    if pattern[at] == "\\":
        at += 1
        if at >= len(pattern):
            raise ValueError(pattern)
    return pattern[at], at + 1
