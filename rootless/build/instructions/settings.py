"""The instructions that change an image's config and make no files: ENV, LABEL, CMD, USER and their like; and ARG."""

import re
from collections.abc import Callable
from typing import Final

from rootless.build import healthcheck
from rootless.build.reader import Instruction
from rootless.build.stage_builder import StageBuilder
from rootless.errors import InvalidInput
from rootless.images.changes import apply_changes
from rootless.runtime.signals import signal_number

_SHELL: Final = ["/bin/sh", "-c"]
_PORTS: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.ASCII)
_LAST_PORT: Final = 65535


def shell_of(builder: StageBuilder) -> list[str]:
    """Return the words that the shell form of a command begins with."""
    return list(builder.stage.settings.get("Shell") or _SHELL)


def _pairs(builder: StageBuilder, instruction: Instruction) -> dict[str, str]:
    """Return what ENV or LABEL sets; its arguments are three a pair. All of them see the variables as they were before."""
    keys, values = instruction.arguments[::3], instruction.arguments[1::3]
    scope = builder.scope
    return {
        instruction.expand(key, scope): instruction.expand(value, scope) for key, value in zip(keys, values, strict=True)
    }


def _env(builder: StageBuilder, instruction: Instruction) -> None:
    merged = {**builder.stage.environment, **_pairs(builder, instruction)}
    builder.stage.settings["Env"] = [f"{name}={value}" for name, value in merged.items()]


def _label(builder: StageBuilder, instruction: Instruction) -> None:
    settings = builder.stage.settings
    settings["Labels"] = {**(settings.get("Labels") or {}), **_pairs(builder, instruction)}


def _command(builder: StageBuilder, instruction: Instruction) -> None:
    words = instruction.words if instruction.is_json else [*shell_of(builder), instruction.text]
    settings = builder.stage.settings
    if instruction.name == "CMD":
        settings["Cmd"] = words
        builder.has_command = True
        return
    settings["Entrypoint"] = words
    if not builder.has_command:  # the base's is for the base's entrypoint
        settings.pop("Cmd", None)


def _shell(builder: StageBuilder, instruction: Instruction) -> None:
    builder.stage.settings["Shell"] = instruction.words


def _healthcheck(builder: StageBuilder, instruction: Instruction) -> None:
    flags = {name: values[-1] for name, values in instruction.flags.items()}
    builder.stage.settings["Healthcheck"] = healthcheck.parse(instruction.text, flags, instruction.words[1:])


def _expose(builder: StageBuilder, instruction: Instruction) -> None:
    words = [word for text in instruction.arguments for word in instruction.expand_words(text, builder.scope)]
    ports = [port for word in words for port in _ports(word)]
    settings = builder.stage.settings
    settings["ExposedPorts"] = {**(settings.get("ExposedPorts") or {}), **{port: {} for port in ports}}


def _ports(text: str) -> list[str]:
    """Return the ports of `PORT[-LAST][/PROTOCOL]`. Raises `InvalidInput`."""
    match = _PORTS.fullmatch(text.lower())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if match is None or not first <= last <= _LAST_PORT:
        raise InvalidInput(f"invalid containerPort: {text:.100}", "EXPOSE 80, 53/udp or 8000-8010")
    return [f"{port}/{match[3] or 'tcp'}" for port in range(first, last + 1)]


def _volume(builder: StageBuilder, instruction: Instruction) -> None:
    scope, settings = builder.scope, builder.stage.settings
    paths = [path for path in (instruction.expand(word, scope) for word in instruction.arguments) if path]
    settings["Volumes"] = {**(settings.get("Volumes") or {}), **{path: {} for path in paths}}


def _stop_signal(builder: StageBuilder, instruction: Instruction) -> None:
    name = instruction.expand(instruction.text, builder.scope)
    signal_number(name)
    builder.stage.settings["StopSignal"] = name


def _change(builder: StageBuilder, instruction: Instruction) -> None:
    apply_changes(builder.stage.settings, [f"{instruction.name} {instruction.text}"])


def _user(builder: StageBuilder, instruction: Instruction) -> None:
    builder.stage.settings["User"] = instruction.expand(instruction.text, builder.scope)


def _maintainer(builder: StageBuilder, instruction: Instruction) -> None:
    builder.stage.config["author"] = instruction.text


def _arg(builder: StageBuilder, instruction: Instruction) -> None:
    builder.session.arguments.take(instruction, builder.variables, builder.stage.environment)


STEPS: Final[dict[str, Callable[[StageBuilder, Instruction], None]]] = {
    "ENV": _env,
    "LABEL": _label,
    "CMD": _command,
    "ENTRYPOINT": _command,
    "SHELL": _shell,
    "HEALTHCHECK": _healthcheck,
    "EXPOSE": _expose,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "ONBUILD": _change,
    "MAINTAINER": _maintainer,
    "ARG": _arg,
}
