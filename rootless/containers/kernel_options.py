"""What the options of the kernel's limits and settings take: `--ulimit`, `--sysctl`, `--oom-score-adj`."""

from collections.abc import Sequence
from typing import Any, Final

from rootless.containers.namespace_modes import NamespaceModes
from rootless.errors import InvalidInput
from rootless.linux.limits import NUMBERS
from rootless.runtime import sysctl

_LIMITS: Final = tuple(sorted(name.removeprefix("RLIMIT_").lower() for name in NUMBERS))
_UNLIMITED: Final = (1 << 64) - 1


def parse_ulimits(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return HostConfig.Ulimits, the last of each name; `host` stands for the user's own, which are there anyway.

    Raises `InvalidInput`.
    """
    if "host" in texts and len(texts) > 1:
        raise InvalidInput("ulimits can use host only once, and nothing beside it", "leave out --ulimit host")
    return list({entry["Name"]: entry for entry in map(_parse_ulimit, texts) if entry}.values())


def _parse_ulimit(text: str) -> dict[str, Any]:
    if text == "host":
        return {}
    name, separator, values = text.partition("=")
    if not separator:
        raise InvalidInput(f"invalid ulimit argument: {text}", "limits look like nofile=1024:2048")
    name = name.lower().removeprefix("rlimit_")
    if name not in _LIMITS:
        raise InvalidInput(f"invalid ulimit type: {name}", f"choose {', '.join(_LIMITS)}")
    soft, separator, hard = values.partition(":")
    numbers = [_number(value, text) for value in (soft, hard if separator else soft)]
    if numbers[1] != -1 and not 0 <= numbers[0] <= numbers[1]:
        raise InvalidInput(f"ulimit soft limit must be less than or equal to hard limit: {soft} > {hard or soft}")
    return {"Name": name, "Hard": numbers[1], "Soft": numbers[0]}


def _number(value: str, text: str) -> int:
    if value in ("-1", "unlimited"):
        return -1
    if not (value.isascii() and value.isdecimal()) or int(value) > _UNLIMITED:
        raise InvalidInput(f"invalid ulimit argument: {text}", "give numbers, or -1 for no limit: nofile=1024:2048")
    return int(value)


def rlimits(ulimits: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return OCI's process.rlimits for HostConfig.Ulimits."""
    return [
        {"type": f"RLIMIT_{entry['Name'].upper()}", "soft": entry["Soft"] % (1 << 64), "hard": entry["Hard"] % (1 << 64)}
        for entry in ulimits
    ]


def parse_sysctls(texts: Sequence[str], modes: NamespaceModes, network: str) -> dict[str, str]:
    """Return HostConfig.Sysctls. Raises `InvalidInput`, also for one of a namespace that is the node's."""
    parameters: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise InvalidInput(f"invalid sysctl: {text!r}", "kernel parameters look like net.ipv4.ip_forward=1")
        parameters[name] = value
    shared = {"ipc": modes.ipc, "uts": modes.uts, "network": network}
    own = {"user", *(kind for kind, mode in shared.items() if mode != "host")}
    for name in parameters:
        sysctl.path_of(name, own, f"--sysctl {name}")
    return parameters


def check_oom_score(value: int) -> int:
    """Return the value of `--oom-score-adj`. Raises `InvalidInput`."""
    if not -1000 <= value <= 1000:
        raise InvalidInput(f"invalid value {value}, range for oom score adj is [-1000, 1000]")
    return value
