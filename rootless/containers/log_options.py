"""`--log-driver` and `--log-opt`: what they mean, and which are refused."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rootless.containers.log_file import Rotation
from rootless.errors import InvalidInput

_WAYS: Final = ("max-buffer-size", "mode")
_ATTRIBUTES: Final = ("env", "env-regex", "labels", "labels-regex", "tag")
_FILES: Final = ("compress", "max-file", "max-size", "path")
_OPTIONS: Final[dict[str, tuple[str, ...]]] = {  # of each driver
    "json-file": (*_ATTRIBUTES, *_FILES, *_WAYS),
    "k8s-file": (*_FILES, *_WAYS),
    "local": (*_ATTRIBUTES, *_FILES, *_WAYS),
    "journald": (*_ATTRIBUTES, *_WAYS),
    "none": (),
    "passthrough": (),
}
_UNITS: Final = {"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30}
_LOCAL: Final = {"max-size": "20m", "max-file": "5"}  # Docker's defaults for it
_BUFFER: Final = 1 << 20  # bytes, Docker's default


def log_config(driver: str | None, options: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return HostConfig.LogConfig. Raises `InvalidInput`."""
    given = dict(options)
    driver = driver or "json-file"
    if driver not in _OPTIONS:
        raise InvalidInput(f"invalid log driver: {driver!r}", f"use one of {', '.join(_OPTIONS)}")
    for name in given:
        if name not in _OPTIONS[driver]:
            known = ", ".join(sorted(_OPTIONS[driver]))
            hint = f"known are {known}" if known else "it has none"
            raise InvalidInput(f"unknown log opt {name!r} for {driver} log driver", hint)
    if driver == "local":  # a file of ours with bounds, which `rl logs` reads: all that Docker says of it
        driver, given = "json-file", {**_LOCAL, **given}
    rotation_of(given)
    buffer_of(given)
    for name in ("env-regex", "labels-regex"):
        _matcher(name, given)
    return {"Type": driver, "Config": given}


def rotation_of(given: Mapping[str, str]) -> Rotation:
    """Return how the log is rotated. Raises `InvalidInput`."""
    count = given.get("max-file", "1")
    size = 0 if given.get("max-size", "-1") == "-1" else _bytes("max-size", given["max-size"])
    if not count.isdecimal() or int(count) < 1:
        raise InvalidInput(f"invalid max-file: {count!r}", "give the number of files, 1 or more")
    if given.get("compress", "false") not in ("true", "false"):
        raise InvalidInput(f"invalid compress: {given['compress']!r}", "give true or false")
    compress = given.get("compress") == "true"
    if not size:
        if int(count) > 1:
            raise InvalidInput("max-file cannot be used without max-size", "give --log-opt max-size=10m, too")
        if compress:
            raise InvalidInput("compress cannot be true when max-size is not set", "give --log-opt max-size=10m, too")
        return Rotation()
    if compress and int(count) < 2:
        raise InvalidInput("compress cannot be true when max-file is less than 2", "give --log-opt max-file=3, too")
    return Rotation(size, int(count), compress)


def buffer_of(given: Mapping[str, str]) -> int:
    """Return the bytes that wait at most for the log to be written; 0: the container waits. Raises `InvalidInput`."""
    mode = given.get("mode", "blocking")
    if mode not in ("blocking", "non-blocking"):
        raise InvalidInput(f"invalid mode: {mode!r}", "give blocking or non-blocking")
    if mode == "non-blocking":
        return _bytes("max-buffer-size", given["max-buffer-size"]) if "max-buffer-size" in given else _BUFFER
    if "max-buffer-size" in given:
        raise InvalidInput("max-buffer-size is only for mode=non-blocking", "give --log-opt mode=non-blocking, too")
    return 0


def _bytes(option: str, text: str) -> int:
    number = text.lower().rstrip("bkmg")
    factor = _UNITS.get(text.lower()[len(number) :])
    if not number.isdecimal() or factor is None or int(number) == 0:
        raise InvalidInput(f"invalid {option}: {text!r}", "give a number of bytes with k, m or g, for example 10m")
    return int(number) * factor


def tag_of(given: Mapping[str, str], names: Mapping[str, str]) -> str:
    """Return the tag, which is empty when none was given; `names` stand for the fields of its template."""
    tag = given.get("tag", "")
    for name, value in names.items():
        tag = tag.replace(f"{{{{.{name}}}}}", value)
    return tag


def attributes_of(given: Mapping[str, str], labels: Mapping[str, str], environment: Sequence[str]) -> dict[str, str]:
    """Return what goes into each entry beside the tag: the labels and variables that the options name."""
    variables = dict(entry.partition("=")[::2] for entry in environment)
    return dict((*_chosen("labels", given, labels), *_chosen("env", given, variables)))


def _chosen(kind: str, given: Mapping[str, str], values: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    names, matches = given.get(kind, "").split(","), _matcher(f"{kind}-regex", given)
    return ((name, value) for name, value in values.items() if name in names or (matches is not None and matches(name)))


def _matcher(option: str, given: Mapping[str, str]) -> Callable[[str], object] | None:
    """Return what tells whether a name matches the option's regular expression anywhere, as in Docker."""
    if not given.get(option):
        return None
    import re  # with these options only

    try:
        return re.compile(given[option]).search
    except re.error as error:
        hint = "give a regular expression, for example ^com\\.example"
        raise InvalidInput(f"invalid {option}: {given[option]!r}: {error}", hint) from None
