"""What an image's config says of the containers made from it, checked (image-spec config.md; Docker's `Config`)."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from rootless.errors import CorruptImage


class ContainerDefaults(NamedTuple):
    """The config object's fields; what the image does not say is empty or None."""

    env: tuple[str, ...]  # NAME=VALUE
    entrypoint: list[str] | None
    cmd: list[str] | None
    user: str
    working_dir: str
    stop_signal: str
    labels: dict[str, str]
    exposed_ports: dict[str, Any] | None
    volumes: dict[str, Any] | None
    healthcheck: dict[str, Any] | None = None


def container_defaults(config: Mapping[str, Any]) -> ContainerDefaults:
    """Check the `config` object of an image's config and return it. Raises `CorruptImage` naming the field."""
    fields = config.get("config")
    if fields is None:
        fields = {}
    if not isinstance(fields, dict):
        raise _wrong("config", "an object")
    return ContainerDefaults(
        # What no process could be given is left out: a NUL, or no name.
        env=tuple(entry for entry in _texts(fields, "Env") or () if _is_plain(entry) and entry.partition("=")[0]),
        entrypoint=_command(fields, "Entrypoint"),
        cmd=_command(fields, "Cmd"),
        user=_text(fields, "User"),
        working_dir=_text(fields, "WorkingDir"),
        stop_signal=_text(fields, "StopSignal") or "SIGTERM",
        labels={str(key): str(value) for key, value in (_object(fields, "Labels") or {}).items()},
        exposed_ports=_object(fields, "ExposedPorts"),
        volumes=_object(fields, "Volumes"),
        healthcheck=_healthcheck(fields),
    )


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or not _is_plain(value):
        raise _wrong(name, "text without NUL")
    return value


def _is_plain(text: str) -> bool:
    """Tell whether a path or an argument could be that: no NUL, and no half of a surrogate pair, which JSON lets pass."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False


def _texts(fields: Mapping[str, Any], name: str) -> list[str] | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _wrong(name, "a list of texts")
    return value


def _command(fields: Mapping[str, Any], name: str) -> list[str] | None:
    words = _texts(fields, name)
    if words is not None and not all(map(_is_plain, words)):
        raise _wrong(name, "a list of texts without NUL")
    return words


def _object(fields: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = fields.get(name)
    if value is not None and not isinstance(value, dict):
        raise _wrong(name, "an object")
    return value


def _healthcheck(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the check of Docker's HEALTHCHECK, times in nanoseconds."""
    given = _object(fields, "Healthcheck")
    if not given:
        return None
    numbers = ("Interval", "Timeout", "Retries", "StartPeriod", "StartInterval")
    if not all(isinstance(given.get(name) or 0, int) and (given.get(name) or 0) >= 0 for name in numbers):
        raise _wrong("Healthcheck", "a check with whole numbers")
    test = _command(given, "Test")
    if test and test[0] not in ("", "NONE", "CMD", "CMD-SHELL"):
        raise _wrong("Healthcheck.Test", "NONE, CMD or CMD-SHELL with a command")
    return {name: given[name] for name in ("Test", *numbers) if given.get(name)}


def _wrong(name: str, wanted: str) -> CorruptImage:
    return CorruptImage(f"the image's config is malformed: {name} is not {wanted}", "ask who made the image to make it again")
