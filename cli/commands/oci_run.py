"""`rl oci run`: create, start, wait, delete."""

import os
from typing import Any

import click

from cli.commands.oci_create import create_options, make
from cli.oci_verb import OciVerb, Settings
from rootless.errors import RlError
from rootless.runtime.oci import foreground, operations


@click.command(cls=OciVerb)
@create_options
@click.option("-d", "--detach", is_flag=True, help="Do not wait for the container's end.")
@click.option("--keep", is_flag=True, help="Keep the container's state after its end.")
@click.argument("container_id", metavar="ID")
def command(settings: Settings, container_id: str, detach: bool, keep: bool, **given: Any) -> int:
    """Make a container from a bundle, run it, and exit with its status."""
    container = make(settings, container_id, given)
    try:
        operations.start(container.folder, os.environ, settings.warn)
    except (RlError, OSError):
        operations.delete(container.folder, os.environ, settings.warn, force=True)
        raise
    if detach:
        return 0
    status = foreground.watch(container.init.pid, container.master)
    if not keep:
        operations.delete(container.folder, os.environ, settings.warn, force=True)
    return status
