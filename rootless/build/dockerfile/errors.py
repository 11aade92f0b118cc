"""What is wrong in a Dockerfile, and where: the reason, and the lines around it as BuildKit prints them."""

from rootless.build.dockerfile.parts import Location
from rootless.errors import InvalidInput

_RULE = "-" * 20
_LONGEST = 500  # characters of a source line in a message


class DockerfileError(InvalidInput):
    """An error in a Dockerfile; `reason` alone, `excerpt` alone ("" where no line is to blame), and both in `message`."""

    def __init__(self, reason: str, location: Location | None = None, text: str = "", hint: str | None = None) -> None:
        self.reason = _printable(reason)
        self.location = location
        self.excerpt = excerpt(text, location) if location is not None else ""
        super().__init__(f"{self.reason}\n{self.excerpt}".rstrip("\n"), hint)


class ExpansionError(InvalidInput):
    """A word's variables cannot be expanded; whoever knows its place makes a `DockerfileError` of it."""


def excerpt(text: str, location: Location) -> str:
    """Return the lines of `location` marked, with a few around them; "" where `text` has no such lines."""
    lines = text.split("\n")
    first, last = location.first_line, min(max(location.first_line, location.last_line), len(lines))
    if not 1 <= first <= len(lines):
        return ""
    start, end = _padded(first, last, len(lines))
    shown = [f"{location.file}:{first}", _RULE]
    for number in range(start, end + 1):
        mark = ">>>" if first <= number <= last else "   "
        shown.append(f" {number:3} | {mark} {_shortened(lines[number - 1])}")
    return "\n".join([*shown, _RULE, ""])


def _padded(first: int, last: int, count: int) -> tuple[int, int]:
    """Return the first and last line to show: about two around several lines, four around a single one."""
    wanted = 4 if first == last else 2
    start, end, padding = first, last, 0
    while padding < wanted:
        if start > 1:
            start -= 1
            padding += 1
        if end != count:
            end += 1
            padding += 1
        padding += 1
    return start, end


def _shortened(line: str) -> str:
    """Return a source line for a message; a Dockerfile may have a megabyte on one."""
    return _printable(line[:_LONGEST]) + ("…" if len(line) > _LONGEST else "")


def _printable(text: str) -> str:
    """Return `text` with control characters and bytes that are no UTF-8 escaped: a hostile file must not reach the terminal."""
    kept = text.rstrip("\r")
    if kept.isprintable():
        return kept
    return "".join(each if each.isprintable() or each in "\t\n" else each.encode("unicode_escape").decode() for each in kept)
