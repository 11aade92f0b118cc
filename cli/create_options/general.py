"""Options of the container as a whole: its name, its streams, its end."""

import os
from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("-a", "--attach", "attached", multiple=True, metavar="stdin|stdout|stderr",
                 help="Attach this stream only (default: output and errors, with -i input)."),
    click.option("-i", "--interactive", is_flag=True, help="Keep standard input open."),
    click.option("-t", "--tty", is_flag=True, help="Give the container a terminal."),
    click.option("--rm", "remove", is_flag=True, help="Remove the container when it ends."),
    click.option("--name", help="Name the container."),
    click.option("--init", is_flag=True, help="Run an init that forwards signals and reaps processes."),
    click.option("--init-path", metavar="FILE", help="The init of --init: a static program of the node instead of rl's own."),
    click.option("--pod", "pod_name", metavar="POD", help="Make it a member of this pod, whose namespaces it shares."),
)  # fmt: skip
_STREAMS: Final = ("stdin", "stdout", "stderr")


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`."""
    return options._replace(
        attached=_streams(given.texts("attached")),
        interactive=given.flag("interactive"),
        terminal=given.flag("tty"),
        remove=given.flag("remove"),
        name=given.text("name"),
        pod_name=given.text("pod_name"),
        init=given.flag("init") or given.text("init_path") is not None,
        init_path=_init_path(given.text("init_path")),
    )


def _streams(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name.lower() not in _STREAMS:
            raise InvalidInput(f"invalid stream to attach: {name!r}", f"use {', '.join(_STREAMS)}")
    return tuple(name.lower() for name in names)


def _init_path(path: str | None) -> str | None:
    """Return the path as an absolute one. Raises `InvalidInput` where there is no such program."""
    if path is None:
        return None
    if not os.path.isfile(path) or not os.access(path, os.X_OK):
        raise InvalidInput(f"--init-path: {path} is not an executable file", "leave it out to get rl's own init")
    return os.path.abspath(path)
