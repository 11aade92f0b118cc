"""`--chmod`: an octal mode, or symbolic changes as chmod(1) takes them (`u=rwX,go=rX`)."""

import re
from collections.abc import Callable
from typing import Final

from rootless.errors import InvalidInput

ModeChange = Callable[[int, bool], int]
"""Returns a file's new mode from its mode, and whether it is a folder."""

_DIGITS: Final = 5
_CLAUSE: Final = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION: Final = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFTS: Final = {"u": 6, "g": 3, "o": 0}


def parse_mode(text: str) -> ModeChange:
    """Return what `--chmod` asks for. Raises `InvalidInput`."""
    if text and len(text) <= _DIGITS and set(text) <= set("01234567"):
        mode = int(text, 8)
        if mode <= 0o7777:
            return lambda _mode, _is_folder: mode
    clauses = [_CLAUSE.fullmatch(part) for part in text.split(",")]
    found = [(clause[1], _ACTION.findall(clause[2])) for clause in clauses if clause is not None]
    if len(found) != len(clauses):
        hint = "it should be octal and between 0 and 07777, or like u=rwX,go=rX"
        raise InvalidInput(f"invalid chmod parameter: '{text:.100}'", hint)

    def change(mode: int, is_folder: bool) -> int:
        for who, actions in found:
            for operator, what in actions:
                mode = _changed(mode, who.replace("a", "ugo") or "ugo", operator, what, is_folder)
        return mode

    return change


def _changed(mode: int, who: str, operator: str, what: str, is_folder: bool) -> int:
    bits = 0
    if what in _SHIFTS and what:
        asked = mode >> _SHIFTS[what] & 7
    else:
        asked = sum({"r": 4, "w": 2, "x": 1}[one] for one in set(what) & set("rwx"))
        if "X" in what and (is_folder or mode & 0o111):
            asked |= 1
    special = 0
    for one in set(who):
        bits |= asked << _SHIFTS[one]
        special |= {"u": 0o4000, "g": 0o2000, "o": 0}[one] if "s" in what else 0
    if "t" in what:
        special |= 0o1000
    bits |= special
    if operator == "+":
        return mode | bits
    if operator == "-":
        return mode & ~bits
    cleared = sum(7 << _SHIFTS[one] for one in set(who))
    if not is_folder:  # of folders chmod keeps these
        cleared |= (0o4000 if "u" in who else 0) | (0o2000 if "g" in who else 0)
    return mode & ~cleared | bits
