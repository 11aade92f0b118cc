"""The words of an instruction's line: flags, quoted words, lists between spaces, JSON arrays.

Quotes and escapes stay in the words (`expansion` takes them off), but in flags, whose quotes go here.
"""

import json
import re
from typing import Final

# What Go's unicode.IsSpace holds for white space (Python's str.isspace has four control characters more).
SPACES: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
BLANKS: Final = re.compile(r"[\t\v\f\r ]+")
_SPACE_SET: Final = frozenset(SPACES)
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
NOT_STRINGS: Final = "when using JSON array syntax, arrays must be comprised of strings only"


class NotStringsError(ValueError):
    """A JSON array holds something that is no string."""


def split_keyword(line: str, escape: str) -> tuple[str, list[str], str]:
    """Split an instruction's line into its keyword, its flags (`--name[=value]`) and the rest."""
    keyword, *rest = BLANKS.split(line.strip(SPACES), maxsplit=1)
    if not rest:
        return keyword, [], ""
    flags, arguments = _split_flags(rest[0], escape)
    return keyword, flags, arguments.strip(SPACES)


def _split_flags(text: str, escape: str) -> tuple[list[str], str]:
    """Split the flags at the start of `text` from the rest; `--` ends them."""
    flags: list[str] = []
    at = 0
    while True:
        while at < len(text) and text[at] in _SPACE_SET:
            at += 1
        if not text.startswith("--", at):
            return flags, text[at:]
        word, at = _flag_word(text, at, escape)
        if word == "--":
            return flags, text[at:]
        flags.append(word)


def _flag_word(text: str, at: int, escape: str) -> tuple[str, int]:
    """Read one flag from `at`, without its quotes and escapes; return it and where it ends."""
    word: list[str] = []
    quote = ""
    while at < len(text):
        letter = text[at]
        if not quote and letter in _SPACE_SET:
            break
        at += 1
        if letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        elif letter != escape:
            word.append(letter)
        elif at < len(text):  # an escape at the very end is dropped
            word.append(text[at])
            at += 1
    return "".join(word), at


def quoted_words(text: str, escape: str) -> list[str]:
    """Split `text` at white space outside quotes; quotes and escapes stay in the words."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    at = 0
    while at < len(text):
        letter = text[at]
        at += 1
        if not quote and letter in _SPACE_SET:
            if word:
                words.append("".join(word))
                word = []
            continue
        if letter == quote:
            quote = ""
        elif not quote and letter in "'\"":
            quote = letter
        elif letter == escape and quote != "'":  # nothing can be escaped between single quotes
            if at == len(text):
                break  # an escape at the very end is dropped
            word.append(letter)
            letter = text[at]
            at += 1
        word.append(letter)
    if word:
        words.append("".join(word))
    return words


def blank_words(text: str) -> list[str]:
    """Split `text` at blanks; nothing is quoted."""
    return BLANKS.split(text) if text else []


def json_words(text: str) -> list[str] | None:
    """Return the strings of a JSON array, or None where `text` is no JSON array. Raises `NotStringsError` for other members."""
    text = text.lstrip(SPACES)
    if not text.startswith("["):
        return None
    try:
        # Numbers stay text: a number of thousands of digits is slow or refused, and is an error here anyway.
        found = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(member, str) for member in found):
        raise NotStringsError(NOT_STRINGS)
    # As Go's decoder has it: bytes that are no UTF-8, and escapes of half a character, become the replacement character.
    return [_SURROGATES.sub("\ufffd", member) for member in found]


class _Number:
    """A number of a JSON text, unread."""

    def __init__(self, text: str) -> None:
        self.text = text


def _no_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python's decoder knows and JSON does not."""
    raise ValueError(name)
