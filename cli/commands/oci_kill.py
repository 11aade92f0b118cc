"""`rl oci kill`: send a signal to a container."""

import click

from cli.oci_verb import OciVerb, Settings
from rootless.runtime.oci import operations
from rootless.runtime.signals import signal_number


@click.command(cls=OciVerb)
@click.option("-a", "--all", "everybody", is_flag=True, help="Send it to all processes of the container.")
@click.argument("container_id", metavar="ID")
@click.argument("signal", default="SIGTERM")
def command(settings: Settings, container_id: str, signal: str, everybody: bool) -> None:
    """Send SIGNAL, a name or a number, to the first process of the container ID."""
    operations.kill(settings.folder(container_id), signal_number(signal), everybody=everybody)
