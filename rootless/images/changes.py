"""Dockerfile instructions that change an image's config, as `--change` of import and commit takes them."""

import json
import shlex
from collections.abc import Callable, Iterable
from typing import Any, Final

from rootless.errors import InvalidInput

Config = dict[str, Any]  # image-spec config.md, the object `config`


def apply_changes(config: Config, changes: Iterable[str]) -> None:
    """Apply instructions (`CMD ["sh"]`, `ENV A=1`, …) to a config, in order, in place. Raises `InvalidInput` that quotes one."""
    for change in changes:
        instruction, _, arguments = change.strip().partition(" ")
        apply_one = _INSTRUCTIONS.get(instruction.upper())
        if apply_one is None:
            raise InvalidInput(f"{instruction!r} is not a valid change: {change!r}", f"one of {', '.join(sorted(_INSTRUCTIONS))}")
        if not arguments.strip():
            raise InvalidInput(f"{instruction} needs an argument: {change!r}")
        apply_one(config, arguments.strip())


def _command(key: str) -> Callable[[Config, str], None]:
    def apply_one(config: Config, arguments: str) -> None:
        config[key] = _words(arguments) or ["/bin/sh", "-c", arguments]

    return apply_one


def _text(key: str) -> Callable[[Config, str], None]:
    def apply_one(config: Config, arguments: str) -> None:
        config[key] = arguments

    return apply_one


def _set(key: str) -> Callable[[Config, str], None]:
    def apply_one(config: Config, arguments: str) -> None:
        config.setdefault(key, {}).update({word: {} for word in _words(arguments) or shlex.split(arguments)})

    return apply_one


def _expose(config: Config, arguments: str) -> None:
    ports: dict[str, Any] = {word if "/" in word else f"{word}/tcp": {} for word in arguments.split()}
    config.setdefault("ExposedPorts", {}).update(ports)


def _env(config: Config, arguments: str) -> None:
    kept = dict(entry.partition("=")[::2] for entry in config.get("Env", []))
    config["Env"] = [f"{name}={value}" for name, value in {**kept, **_pairs(arguments)}.items()]


def _label(config: Config, arguments: str) -> None:
    config.setdefault("Labels", {}).update(_pairs(arguments))


def _onbuild(config: Config, arguments: str) -> None:
    config.setdefault("OnBuild", []).append(arguments)


def _workdir(config: Config, arguments: str) -> None:
    # Relative to the one before, as in a Dockerfile.
    config["WorkingDir"] = arguments if arguments.startswith("/") else f"{config.get('WorkingDir', '').rstrip('/')}/{arguments}"


def _words(arguments: str) -> list[str]:
    """Return the words of the JSON form `["a", "b"]`, or nothing where it is not that form."""
    if not arguments.startswith("["):
        return []
    try:
        words = json.loads(arguments)
    except ValueError:
        return []
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else []


def _pairs(arguments: str) -> dict[str, str]:
    """Read `A=1 B="two words"`, or the old form `A rest of the line`."""
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise InvalidInput(f"cannot read {arguments!r}: {error}") from error
    if "=" not in words[0]:
        name, _, value = arguments.partition(" ")
        return {name: value.strip()}
    if not all("=" in word for word in words):
        raise InvalidInput(f"{arguments!r} must have the form NAME=VALUE …")
    return dict(word.partition("=")[::2] for word in words)


_INSTRUCTIONS: Final[dict[str, Callable[[Config, str], None]]] = {
    "CMD": _command("Cmd"),
    "ENTRYPOINT": _command("Entrypoint"),
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _text("StopSignal"),
    "USER": _text("User"),
    "VOLUME": _set("Volumes"),
    "WORKDIR": _workdir,
}
