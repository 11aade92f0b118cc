"""Options of the node's devices that the container gets."""

from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option(
        "--device", "devices", multiple=True, metavar="HOST[:CONTAINER[:rwm]]", help="Give it a device, or a folder of them."
    ),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`. Raises `InvalidInput`."""
    if not given.texts("devices"):
        return options
    from rootless.containers import device_options  # with the option only

    devices = [device_options.parse(text) for text in given.texts("devices")]
    device_options.mounts_of(devices)  # complains of what is not there
    return options.with_fields({"Devices": devices})
