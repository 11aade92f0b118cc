"""Options of the container's files: its root, and what is mounted there."""

import os
from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.mount_options import parse_mount, parse_volume
from rootless.containers.options import CreateOptions

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("-v", "--volume", "volumes", multiple=True, metavar="SOURCE:TARGET[:ro]", help="Bind what is on the node."),
    click.option("--mount", "mounts", multiple=True, metavar="type=bind|tmpfs,…", help="Mount something, in the long form."),
    click.option("--read-only", is_flag=True, help="Make the container's root read-only."),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`."""
    cwd = _working_folder()
    mounts = [parse_volume(text, cwd) for text in given.texts("volumes")]
    mounts += [parse_mount(text, cwd) for text in given.texts("mounts")]
    return options._replace(mounts=tuple(mounts), read_only=given.flag("read_only"))


def _working_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed under us: relative sources are looked for in /
        return "/"
