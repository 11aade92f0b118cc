"""Completion of names in a shell: what `rl completion SHELL` sets up asks for them by running `rl` with `_RL_COMPLETE` set.

Only then is this module loaded. What an argument names is told by its metavar, so that no verb has to say it once more.
"""

import os
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from rootless.errors import InvalidInput
from rootless.locations import Locations, from_environment

VARIABLE: Final = "_RL_COMPLETE"
SHELLS: Final = ("bash", "zsh", "fish")

_Names = Callable[[Locations], Iterable[str]]


def script(shell: str, group: click.Command) -> str:
    """Return what a shell is to read to complete `rl`. Raises `InvalidInput` for a shell that is not known."""
    kind = get_completion_class(shell)
    if kind is None or shell not in SHELLS:
        raise InvalidInput(f"no completion for the shell {shell!r}", f"choose one of {', '.join(SHELLS)}")
    source: ShellComplete = kind(group, {}, "rl", VARIABLE)
    return source.source_template % source.source_vars()  # `source()` would ask for bash's version by running it


def add_names(command: click.Command) -> click.Command:
    """Have a command's arguments complete the names that they take; returns the command."""
    for parameter in command.params:
        names = _names_for(parameter)
        if names is not None:
            parameter._custom_shell_complete = _completer(names)  # click takes it in the constructor only
    return command


def _names_for(parameter: click.Parameter) -> _Names | None:
    text = (getattr(parameter, "metavar", None) or parameter.name or "").upper()
    if parameter.name in ("image", "images"):
        text = "IMAGE"
    elif parameter.name in ("container", "containers", "volumes_from"):
        text = "CONTAINER"
    for pattern, names in _KINDS:
        if re.search(pattern, text):
            return names
    return None


def _completer(names: _Names) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        given = context.params.get(parameter.name or "") or ()
        taken = {given} if isinstance(given, str) else set(given)
        found = names(from_environment(os.environ, os.geteuid()))
        items = [CompletionItem(name) for name in sorted(found) if name.startswith(incomplete) and name not in taken]
        if names is _paths and not items:  # a shell that is told of files forgets what else there is
            items.append(CompletionItem(incomplete, type="file"))
        return items

    return complete


def _containers(locations: Locations) -> Iterable[str]:
    return _entries(locations.names)


def _images(locations: Locations) -> Iterable[str]:
    from rootless.images import reference
    from rootless.images.listing import list_images
    from rootless.images.store import ImageStore

    names = [name for image in list_images(ImageStore(locations)) for name in image.names]
    short = [reference.familiar_name(name) for name in names]
    return {*short, *(name.removesuffix(":latest") for name in short)}


def _volumes(locations: Locations) -> Iterable[str]:
    return _entries(f"{locations.data_root}/volumes")


def _secrets(locations: Locations) -> Iterable[str]:
    return _entries(f"{locations.data_root}/secrets")


def _paths(locations: Locations) -> Iterable[str]:
    return [f"{name}:" for name in _containers(locations)]


def _objects(locations: Locations) -> Iterable[str]:
    return [*_containers(locations), *_images(locations)]


def _entries(folder: str) -> Iterable[str]:
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except FileNotFoundError:
        return []


_KINDS: Final[tuple[tuple[str, _Names], ...]] = (
    (r"NEW_NAME|FILE|\bLIST\b", lambda _locations: ()),
    (r"CONTAINER:", _paths),
    (r"CONTAINER", _containers),
    (r"IMAGE|NAME\[:TAG|SOURCE\[:TAG", _images),
    (r"VOLUME", _volumes),
    (r"SECRET", _secrets),
    (r"^\[?NAME…", _objects),
)


def complete_verbs(names: Iterable[str], incomplete: str) -> list[Any]:
    """Return those verbs that begin so, without the help that loading each would give."""
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
