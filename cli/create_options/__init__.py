"""The options of `rl run` and `rl create`, a module for each concern.

A module of a concern has `OPTIONS`, click's decorators in the order in which the help shows them, and `apply`, which puts what was
given into the `CreateOptions`. `_CONCERNS` below lists them; nothing else needs to know a new option of a concern.
"""

import os
from collections.abc import Callable
from typing import Any, Final, Protocol

import click

from cli.create_options import (
    addresses,
    devices,
    files,
    general,
    health,
    identity,
    image,
    lifetime,
    limits,
    logs,
    names,
    namespaces,
    process,
    runtime,
    security,
)
from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions


class _Concern(Protocol):
    OPTIONS: tuple[Decorator, ...]

    def apply(self, options: CreateOptions, given: Given) -> CreateOptions: ...


_CONCERNS: Final[tuple[_Concern, ...]] = (
    general,
    image,
    identity,
    process,
    namespaces,
    names,
    addresses,
    security,
    devices,
    limits,
    files,
    lifetime,
    health,
    logs,
    runtime,
)

_RESOLVED: Final = frozenset(
    {"environment", "env_files", "env_host", "env_merge", "unsetenv", "unsetenv_all", "labels", "label_files"}
)
"""Options whose meaning is in the record's Config, which is what another container like it gets."""

# -h is the host name, as in Docker; what follows the image belongs to the container.
CONTEXT: Final = {"help_option_names": ["--help"], "allow_interspersed_args": False}
"""The context settings of a command that takes these options."""


def takes_create_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a click command the options, and IMAGE and COMMAND…; it gets the options as keywords, for `to_create_options`."""
    function = click.argument("command", nargs=-1, type=click.UNPROCESSED)(function)
    function = click.argument("image")(function)
    for concern in reversed(_CONCERNS):
        for option in reversed(concern.OPTIONS):
            function = option(function)
    return function


def to_create_options(command: tuple[str, ...], values: dict[str, object]) -> CreateOptions:
    """Return what the user asks for. Raises `InvalidInput`."""
    options, given = CreateOptions(arguments=command), Given(values)
    for concern in _CONCERNS:
        options = concern.apply(options, given)
    return options._replace(given=_kept(command, values))


def _kept(command: tuple[str, ...], values: dict[str, object]) -> dict[str, object]:
    """Return what the record keeps of the command line (see `again`)."""
    options = {
        name: value
        for name, value in values.items()
        if value is not None and value is not False and value != () and name not in _RESOLVED
    }
    try:
        folder = os.getcwd()
    except FileNotFoundError:  # it was removed
        folder = ""
    return {"Folder": folder, "Command": command, "Options": options}
