"""The instructions of a Dockerfile, the flags that each takes, and what is wrong with one, in BuildKit's words."""

from collections.abc import Iterable, Sequence
from typing import Final

TEXT: Final = "text"
SEVERAL: Final = "several"  # may be repeated
SWITCH: Final = "switch"  # true or false; true without a value

Flags = dict[str, tuple[str, ...]]
"""The values of each flag that is given; those of a switch are "true" or "false"."""

_TIMES: Final = dict.fromkeys(("interval", "timeout", "start-period", "start-interval", "retries"), TEXT)
_OF_COPY: Final = {"chown": TEXT, "chmod": TEXT, "link": SWITCH, "exclude": SEVERAL}
KNOWN: Final[dict[str, dict[str, str]]] = {
    "ADD": {**_OF_COPY, "checksum": TEXT, "keep-git-dir": SWITCH, "unpack": SWITCH},
    "ARG": {}, "CMD": {},
    "COPY": {**_OF_COPY, "from": TEXT, "parents": SWITCH},
    "ENTRYPOINT": {}, "ENV": {}, "EXPOSE": {},
    "FROM": {"platform": TEXT},
    "HEALTHCHECK": _TIMES,
    "LABEL": {}, "MAINTAINER": {}, "ONBUILD": {},
    "RUN": {"mount": SEVERAL, "network": TEXT, "security": TEXT},
    "SHELL": {}, "STOPSIGNAL": {}, "USER": {}, "VOLUME": {}, "WORKDIR": {},
}  # fmt: skip
"""The flags of each instruction."""

_BOOLEANS: Final = {"true": "true", "false": "false", "1": "true", "0": "false"}
_FARTHEST: Final = 3  # changes of letters between what was written and what may have been meant


def parse_flags(keyword: str, words: Sequence[str]) -> Flags:
    """Return the flags of an instruction from its words `--name[=value]`. Raises `ValueError` with BuildKit's text."""
    known = KNOWN.get(keyword, {})
    found: Flags = {}
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        kind = known.get(name)
        if kind is None:
            raise ValueError(f"unknown flag: --{name:.100}" + did_you_mean(name, known))
        if kind == SWITCH:
            value = _BOOLEANS.get(value.lower(), "") if equals else "true"
            if not value:
                raise ValueError(f"expecting boolean value for flag {name}, not: {word.partition('=')[2]:.100}")
        elif not equals:
            raise ValueError(f"missing a value on flag: {name}")
        if name in found and kind != SEVERAL:
            raise ValueError(f"duplicate flag specified: {name}")
        found[name] = (*found.get(name, ()), value)
    return found


def check_keyword(keyword: str) -> None:
    """Raise `ValueError` for an instruction that does not exist."""
    if keyword not in KNOWN:
        raise ValueError(f"unknown instruction: {keyword:.100}" + did_you_mean(keyword, KNOWN))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean X?)` for the nearest of what is known, or nothing where none is near."""
    if len(word) > 30:
        return ""
    near = sorted((_distance(word.lower(), one.lower()), one) for one in known)
    if not near or near[0][0] >= min(_FARTHEST, max(len(word), 1)):
        return ""
    return f" (did you mean {near[0][1]}?)"


def _distance(one: str, other: str) -> int:
    """Return how many letters must be added, removed or replaced (Levenshtein)."""
    row = list(range(len(other) + 1))
    for number, letter in enumerate(one, 1):
        before, row[0] = row[0], number
        for at, another in enumerate(other, 1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (letter != another))
    return row[-1]
