"""`rl volume create`: make a volume."""

import os

import click

from cli.key_values import parse_driver_options, parse_labels
from cli.tables import emit
from cli.verb import Verb
from rootless.errors import InUse, InvalidInput
from rootless.locations import from_environment
from rootless.storage.volumes import DRIVER, VolumeStore


@click.command(cls=Verb)
@click.option("-d", "--driver", default=DRIVER, metavar="NAME", help="The volume's driver: local.")
@click.option("--label", "labels", multiple=True, metavar="NAME[=VALUE]", help="Give it a label.")
@click.option("-o", "--opt", "options", multiple=True, metavar="NAME=VALUE", help="An option of the driver: type, device, o.")
@click.option("--name", "named", hidden=True, help="As the argument NAME.")
@click.option("--ignore", is_flag=True, help="It is no failure that it exists with other options.")
@click.argument("name", required=False)
def command(
    *, name: str | None, named: str | None, driver: str, labels: tuple[str, ...], options: tuple[str, ...], ignore: bool
) -> None:
    """Make a volume and print its name; without NAME, one is made up."""
    if name and named:
        raise InvalidInput("conflicting options: either specify --name or provide positional arg, not both")
    if driver != DRIVER:
        raise InvalidInput(f"there is no volume driver {driver!r}: plugins need a daemon", "use the driver `local`")
    store = VolumeStore(from_environment(os.environ, os.geteuid()))
    wanted = name or named or None
    try:
        volume = store.create(wanted, parse_labels(labels), parse_driver_options(options))
    except InUse:
        if not ignore or wanted is None:
            raise
        volume = store.get(wanted)
    emit(volume.name)
