"""`rl pull`: get an image from a registry."""

import os
import sys
from typing import Any

import click

from cli.progress import shown
from cli.registry_options import Reach, registry_options
from cli.tables import emit
from cli.transports import read_archive
from cli.verb import GoFlags
from rootless.images import transports
from rootless.images.pull import pull, pull_all_tags
from rootless.images.reference import familiar_name, parse
from rootless.images.store import Image
from rootless.locations import from_environment, make_private_folder


@click.command(cls=GoFlags)
@click.option("-a", "--all-tags", is_flag=True, help="All tags of a repository.")
@click.option("-q", "--quiet", is_flag=True, help="Print only the image's ID.")
@click.option("--platform", metavar="OS/ARCH[/VARIANT]", help="The platform to choose, where the image has several.")
@registry_options
@click.argument("name", metavar="NAME[:TAG][@DIGEST]")
def command(*, name: str, all_tags: bool, quiet: bool, platform: str | None, by: Reach) -> None:
    """Get an image from a registry or an archive (oci:, oci-archive:, docker-archive:, dir:), and print its whole name."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    transport = transports.parse(name)
    if transport is not None and not transport.is_registry:
        emit(read_archive(locations, transport, platform, quiet=quiet, all_tags=all_tags))
        return
    name = transports.plain_name(name)
    with shown(sys.stdout, quiet=quiet) as progress:
        options: Any = {"environ": by.environ, "progress": progress, "platform": platform, "access": by.access}
        if all_tags:
            images = pull_all_tags(locations, name, **options)
        else:
            image = pull(locations, name, **options)
            images = {_pulled_name(name, image): image}
    for found in dict.fromkeys(image.id for image in images.values()) if quiet else images:
        emit(found)


def _pulled_name(asked: str, image: Image) -> str:
    """Return the whole name under which the image is kept now: an alias may have another repository than the name."""
    names = (*image.names, *image.repo_digests)
    wanted = parse(asked)
    if wanted.name in names:
        return wanted.name
    ending = f"@{wanted.digest}" if wanted.digest else f":{wanted.tag}"
    return next((name for name in names if name.endswith(ending)), familiar_name(wanted.name))
