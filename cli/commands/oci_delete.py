"""`rl oci delete`: remove a container."""

import os

import click

from cli.oci_verb import OciVerb, Settings
from rootless.runtime.oci import operations


@click.command(cls=OciVerb)
@click.option("-f", "--force", is_flag=True, help="Kill it if it runs; one that does not exist is no error.")
@click.argument("container_id", metavar="ID")
def command(settings: Settings, container_id: str, force: bool) -> None:
    """Remove what is left of the container ID, which must have ended."""
    operations.delete(settings.folder(container_id), os.environ, settings.warn, force=force)
