"""`--log-driver` and `--log-opt`: what they mean, and which are refused."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rootless.containers.log_file import Rotation
from rootless.errors import InvalidInput, NodeLacks

DRIVERS: Final = ("json-file", "k8s-file", "local", "none")
_OPTIONS: Final = ("compress", "env", "labels", "max-file", "max-size", "path", "tag")
_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30}
_LOCAL: Final = {"max-size": "20m", "max-file": "5"}  # Docker's defaults for it


def log_config(driver: str | None, options: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return HostConfig.LogConfig. Raises `InvalidInput`, or `NodeLacks` for a driver that is not to be had here."""
    given = dict(options)
    driver = driver or "json-file"
    if driver in ("journald", "passthrough"):
        raise NodeLacks(f"the log driver {driver} is not supported yet", f"use one of {', '.join(DRIVERS)}")
    if driver not in DRIVERS:
        raise InvalidInput(f"invalid log driver: {driver!r}", f"use one of {', '.join(DRIVERS)}")
    if driver == "local":  # a file of ours with bounds, which `rl logs` reads: all that Docker says of it
        driver, given = "json-file", {**_LOCAL, **given}
    for name in given:
        if name not in _OPTIONS:
            raise InvalidInput(f"unknown log opt {name!r} for {driver} log driver", f"known are {', '.join(_OPTIONS)}")
    if driver == "none" and given:
        raise InvalidInput("the log driver none has no options", "leave --log-opt out")
    rotation_of(given)
    return {"Type": driver, "Config": given}


def rotation_of(given: Mapping[str, str]) -> Rotation:
    """Return how the log is rotated. Raises `InvalidInput`."""
    size, count = given.get("max-size", "-1"), given.get("max-file", "1")
    number = size.lower().rstrip("bkmg")
    factor = _UNITS.get(size.lower()[len(number) :])
    if size != "-1" and (not number.isdecimal() or factor is None or int(number) == 0):
        raise InvalidInput(f"invalid max-size: {size!r}", "give a number of bytes with k, m or g, for example 10m")
    if not count.isdecimal() or int(count) < 1:
        raise InvalidInput(f"invalid max-file: {count!r}", "give the number of files, 1 or more")
    if given.get("compress", "false") not in ("true", "false"):
        raise InvalidInput(f"invalid compress: {given['compress']!r}", "give true or false")
    compress = given.get("compress") == "true"
    if size == "-1":
        if int(count) > 1:
            raise InvalidInput("max-file cannot be used without max-size", "give --log-opt max-size=10m, too")
        if compress:
            raise InvalidInput("compress cannot be true when max-size is not set", "give --log-opt max-size=10m, too")
        return Rotation()
    if compress and int(count) < 2:
        raise InvalidInput("compress cannot be true when max-file is less than 2", "give --log-opt max-file=3, too")
    return Rotation(int(number) * (factor or 1), int(count), compress)


def attributes_of(
    given: Mapping[str, str], labels: Mapping[str, str], environment: Sequence[str], names: Mapping[str, str]
) -> dict[str, str]:
    """Return what goes into each entry: the tag, and the labels and variables that the options name. `names` are for the tag."""
    found = {}
    if given.get("tag"):
        tag = given["tag"]
        for name, value in names.items():
            tag = tag.replace(f"{{{{.{name}}}}}", value)
        found["tag"] = tag
    variables = dict(entry.partition("=")[::2] for entry in environment)
    for wanted, values in ((given.get("labels", ""), labels), (given.get("env", ""), variables)):
        found.update((name, values[name]) for name in wanted.split(",") if name in values)
    return found
