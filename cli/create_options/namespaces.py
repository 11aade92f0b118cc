"""Options of the namespaces that the container gets of its own, or shares."""

from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("-h", "--hostname", metavar="NAME", help="The container's host name."),
    click.option("--network", "--net", metavar="MODE", help="none, host, or slirp (a private network; the default)."),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`."""
    return options._replace(hostname=given.text("hostname"), network=given.text("network") or options.network)
