"""The options of a container that exists, for one like it.

A record keeps what its command line gave, and where that was called; what depends on the caller's environment and files (variables,
labels) comes from the record's Config instead, which has it as it was.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any, Final

import click

from cli.create_options import takes_create_options, to_create_options
from rootless.containers.documents import Document
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput
from rootless.images.config import ContainerDefaults

_ITS_OWN: Final = ("cid_file", "name", "pid_file", "pull", "quiet", "replace")
"""Options that are not for the next container."""


def options_of(document: Document, name: str, of_image: ContainerDefaults | None) -> CreateOptions:
    """Return what makes a container like that of `document`, with another name.

    `of_image` says what its image gave; None where that is gone. Raises `InvalidInput`.
    """
    given = document["Rl"].get("Given")
    if given is None:
        raise InvalidInput(
            f"container {document['Id'][:12]} cannot be cloned: its record does not say how it was made",
            "it was made by an older version; make the new one by rl create",
        )
    values: dict[str, Any] = dict(_defaults())
    for option, value in given["Options"].items():
        if option in values and option not in _ITS_OWN:
            values[option] = tuple(value) if isinstance(value, list) else value
    with _in_folder(given["Folder"]):
        options = to_create_options(tuple(given["Command"]), {**values, "name": name})
    config = document["Config"]
    variables = config["Env"] or []
    image_variables = of_image.env if of_image is not None else ()
    image_labels = of_image.labels if of_image is not None else {}
    names = {entry.partition("=")[0] for entry in variables}
    return options._replace(
        attach=bool(config["AttachStdout"]),
        environment=tuple(entry for entry in variables if entry not in image_variables),
        unset=tuple(name for entry in image_variables if (name := entry.partition("=")[0]) not in names),
        labels=tuple(pair for pair in (config["Labels"] or {}).items() if pair not in image_labels.items()),
    )


def _defaults() -> Iterator[tuple[str, Any]]:
    """Yield the Python name of each option, and what it is where it is not given."""

    @click.command
    @takes_create_options
    def nothing() -> None: ...

    for parameter in nothing.params:
        if isinstance(parameter, click.Option) and parameter.name is not None:
            yield parameter.name, () if parameter.multiple else False if parameter.is_flag else None


@contextlib.contextmanager
def _in_folder(folder: str) -> Iterator[None]:
    """Be where the first command line was called, for relative paths; without that folder they mean nothing."""
    before = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            os.chdir(folder)
        except OSError as error:
            message = f"the folder in which the container was made cannot be entered: {folder}: {error.strerror}"
            raise InvalidInput(message, "make the new one by rl create") from None
        yield
    finally:
        os.fchdir(before)
        os.close(before)
