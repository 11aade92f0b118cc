"""`rl healthcheck run`: check a container's health now."""

import os

import click

from cli.tables import emit
from cli.verb import GoFlags
from rootless.containers import health, health_probe, requests
from rootless.containers.store import ContainerStore
from rootless.errors import InUse, InvalidInput
from rootless.locations import from_environment, make_private_folder


@click.command(cls=GoFlags)
@click.argument("container")
def command(*, container: str) -> int:
    """Run CONTAINER's health check once; exits with 0 when it succeeds, 1 when it fails, and says then how the container is."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    document = ContainerStore(locations).find(container)
    check = health.check_of(document["Config"])
    if check is None:
        raise InvalidInput(f"container {container} has no defined healthcheck", "give it one with rl run --health-cmd")
    outcome = health_probe.take(health_probe.begin(locations, document, check))
    reply = requests.ask_monitor(locations, document, {"op": "health", "outcome": list(outcome)})
    if reply is None:
        raise InUse(f"container {container} has ended")
    if outcome.exit_code == 0:
        return 0
    emit(str(reply["health"]["Status"]))
    return 1
