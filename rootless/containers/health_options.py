"""`--health-…` of a new container over what its image says: Config.Healthcheck, as Docker has it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput

_SHORTEST: Final = 1_000_000  # ns, as in Docker


class HealthOptions(NamedTuple):
    """What was given; times in nanoseconds, None for what was not."""

    command: str | None = None
    interval: int | None = None
    timeout: int | None = None
    retries: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    disabled: bool = False


_NAMES: Final = {
    "interval": "Interval",
    "timeout": "Timeout",
    "retries": "Retries",
    "start_period": "StartPeriod",
    "start_interval": "StartInterval",
}


def merged(of_image: Mapping[str, Any] | None, options: HealthOptions) -> dict[str, Any] | None:
    """Return the check of a container; None where neither has one. Raises `InvalidInput`."""
    given = {_NAMES[name]: value for name, value in options._asdict().items() if name in _NAMES and value is not None}
    if options.disabled:
        if given or options.command is not None:
            raise InvalidInput("--no-healthcheck conflicts with --health-* options", "leave one of them out")
        return {"Test": ["NONE"]}
    for name, value in given.items():
        if value < 0 or (name != "Retries" and 0 < value < _SHORTEST):
            raise InvalidInput(f"{name} in Healthcheck cannot be {'negative' if value < 0 else 'less than one millisecond'}")
    check = {**(of_image or {}), **given}
    if options.command is not None:
        check["Test"] = _test_of(options.command)
    if given and not check.get("Test"):
        raise InvalidInput("the container has no health check to which --health-* options could apply", "give --health-cmd, too")
    return check or None


def _test_of(text: str) -> list[str]:
    if text == "none":
        return ["NONE"]
    if text.startswith("["):  # podman's form for a command without a shell
        import json

        try:
            words = json.loads(text)
        except ValueError:
            words = None
        if isinstance(words, list) and words and all(isinstance(one, str) for one in words):
            return words if words[0] in ("CMD", "CMD-SHELL", "NONE") else ["CMD", *words]
    if not text.strip():
        raise InvalidInput("--health-cmd is empty", "give a command for /bin/sh, or use --no-healthcheck")
    return ["CMD-SHELL", text]
