"""HEALTHCHECK: the object `Healthcheck` of an image's config (docs.docker.com/reference/dockerfile, "HEALTHCHECK")."""

from collections.abc import Mapping
from typing import Any, Final

from rootless.durations import go_duration
from rootless.errors import InvalidInput

_TIMES: Final = {"interval": "Interval", "timeout": "Timeout", "start-period": "StartPeriod", "start-interval": "StartInterval"}
_SHORTEST: Final = 10**6  # nanoseconds
_LONGEST: Final = 9  # digits of a number


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
    found = 0 if text == "0" else go_duration(text)
    if found is None or found < 0:
        raise InvalidInput(f"invalid duration of --{flag}: {text!r:.100}", "write it as 30s or 1m30s")
    if 0 < found < _SHORTEST:
        raise InvalidInput(f"duration of --{flag} cannot be less than 1ms: {text!r:.100}")
    return found
