"""`rl push`: put an image of the store into a registry."""

import os
import sys
from typing import Any

import click

from cli.progress import shown
from cli.registry_options import Reach, registry_options
from cli.tables import emit
from cli.transports import write_archive
from cli.verb import GoFlags
from rootless.errors import InvalidInput
from rootless.images import transports
from rootless.images.push import push, push_all_tags
from rootless.locations import from_environment


@click.command(cls=GoFlags)
@click.option("-a", "--all-tags", is_flag=True, help="All tags of a repository.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the digest.")
@registry_options
@click.argument("name", metavar="NAME[:TAG]|ID")
@click.argument("destination", metavar="[DESTINATION]", required=False)
def command(*, name: str, destination: str | None, all_tags: bool, quiet: bool, by: Reach) -> None:
    """Put an image into the registry that its name, or DESTINATION, names; or an archive (oci:, …-archive:, dir:)."""
    locations = from_environment(os.environ, os.geteuid())
    if all_tags and destination is not None:
        raise InvalidInput("--all-tags takes no destination", "tag the images, or push one at a time")
    transport = transports.parse(destination or "")
    if transport is not None and not transport.is_registry:
        emit(write_archive(locations, name, transport, quiet=quiet))
        return
    destination = transports.plain_name(destination) if destination else None
    with shown(sys.stdout, quiet=quiet) as progress:
        options: Any = {"environ": by.environ, "progress": progress, "access": by.access}
        if all_tags:
            digests = list(push_all_tags(locations, name, **options).values())
        else:
            digests = [push(locations, name, destination, **options)]
    if quiet:
        for digest in digests:
            emit(digest)
