"""`rl oci state`: print a container's state as JSON."""

import json

import click

from cli.oci_verb import OciVerb, Settings
from rootless.runtime.oci.state import oci_state, status


@click.command(cls=OciVerb)
@click.argument("container_id", metavar="ID")
def command(settings: Settings, container_id: str) -> None:
    """Print the state of the container ID, with runc's additions `rootfs`, `created` and `owner`."""
    folder = settings.folder(container_id)
    record = folder.read()
    state = {"pid": 0, **oci_state(record, status(folder, record))}
    state.update(rootfs=record.rootfs, created=record.created, owner=str(record.owner))
    print(json.dumps(state, indent=2))  # noqa: T201
