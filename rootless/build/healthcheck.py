"""HEALTHCHECK: the object `Healthcheck` of an image's config (docs.docker.com/reference/dockerfile, "HEALTHCHECK")."""

import re
from collections.abc import Mapping
from typing import Any, Final

from rootless.errors import InvalidInput

_TIMES: Final = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod", "start-interval": "StartInterval"}
_NANOSECONDS: Final = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_LONGEST: Final = 40  # characters of a duration
FLAGS: Final = frozenset({*_TIMES, "retries"})


def parse(text: str, flags: Mapping[str, str], words: list[str]) -> dict[str, Any]:
    """Return the check that an instruction asks for; `words` are those of a command in JSON form. Raises `InvalidInput`."""
    kind, _, command = text.partition(" ")
    if kind.upper() == "NONE":
        if flags or command.strip():
            raise InvalidInput("HEALTHCHECK NONE takes no arguments")
        return {"Test": ["NONE"]}
    if kind.upper() != "CMD" or not command.strip():
        text = f"unknown type {kind!r:.100} in HEALTHCHECK, or no command"
        raise InvalidInput(text, "HEALTHCHECK [OPTIONS] CMD command, or NONE")
    check: dict[str, Any] = {"Test": ["CMD", *words] if words else ["CMD-SHELL", command.strip()]}
    for flag, value in flags.items():
        if flag in _TIMES:
            check[_TIMES[flag]] = _duration(flag, value)
        elif not (value.isascii() and value.isdecimal() and len(value) < _LONGEST):
            raise InvalidInput(f"--retries must be at least 0: {value!r:.100}")
        else:
            check["Retries"] = int(value)
    return check


def _duration(flag: str, text: str) -> int:
    """Return a duration of Go's (`1m30s`) in nanoseconds."""
    parts = _PART.findall(text)
    if "".join(number + unit for number, unit in parts) != text or not text or len(text) > _LONGEST:
        raise InvalidInput(f"invalid duration of --{flag}: {text!r:.100}", "write it as 30s or 1m30s")
    return sum(int(float(number) * _NANOSECONDS[unit]) for number, unit in parts)
