"""Text for the user: columns as Docker's, and nothing from an image that could drive the terminal."""

import sys
from collections.abc import Iterable, Sequence
from typing import Final

_MINIMUM_WIDTH: Final = 10
_PADDING: Final = 3

_GO_ESCAPES: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}


def printable(text: str) -> str:
    """Return text with everything that a terminal might obey, or that hides what is written, as an escape (backslash, x1b)."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def for_output(text: str) -> str:
    """Return text for standard output: as it is for a program, `printable` line by line for a terminal."""
    if not sys.stdout.isatty():
        return text
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


def emit(text: str) -> None:
    """Write text and a line feed to standard output; bytes that are not UTF-8 in names pass through."""
    try:
        content = f"{text}\n".encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON of an image may have and no encoding has
        content = f"{text}\n".encode("utf-8", "replace")
    sys.stdout.buffer.write(content)


def quoted(text: str) -> str:
    """Return text in double quotes as Go's strconv.Quote: the column COMMAND."""
    return f'"{"".join(_GO_ESCAPES.get(character) or printable(character) for character in text)}"'


def ellipsis(text: str, width: int) -> str:
    """Return text cut to `width` columns, with … where something was cut."""
    if _width(text) <= width:
        return text
    cut = ""
    for character in text:
        if _width(cut + character) > width - 1:
            break
        cut += character
    return f"{cut}…"


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as lines with aligned columns: at least 10 wide, 3 spaces between; the last column is not filled up."""
    lines = [[printable(cell) for cell in row] for row in rows]
    columns = max((len(row) for row in lines), default=0)
    widths = [
        max(_MINIMUM_WIDTH, _PADDING + max(_width(row[column]) for row in lines if column < len(row) - 1))
        for column in range(columns - 1)
    ]
    return "\n".join(
        "".join([*(cell + " " * (width - _width(cell)) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]])
        for row in lines
    )


def _width(text: str) -> int:
    """Return the columns that text takes in a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata  # rarely needed

    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text
    )


def _escaped(character: str) -> str:
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
