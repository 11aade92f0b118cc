"""`rl oci start`: let a created container execute its command."""

import os

import click

from cli.oci_verb import OciVerb, Settings
from rootless.runtime.oci import operations


@click.command(cls=OciVerb)
@click.argument("container_id", metavar="ID")
def command(settings: Settings, container_id: str) -> None:
    """Start the created container ID."""
    operations.start(settings.folder(container_id), os.environ, settings.warn)
