"""`rl pull`: get an image from a registry."""

import os
import sys

import click

from cli.progress import pull_with_progress
from rootless.images.reference import familiar_name, parse
from rootless.locations import from_environment, make_private_folder


@click.command()
@click.option("-q", "--quiet", is_flag=True, help="Print only the image's name.")
@click.option("--platform", metavar="OS/ARCH[/VARIANT]", help="The platform to choose, where the image has several.")
@click.argument("name", metavar="NAME[:TAG|@DIGEST]")
def command(*, name: str, quiet: bool, platform: str | None) -> None:
    """Get an image from a registry, and print its whole name."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    image = pull_with_progress(locations, name, quiet=quiet, stream=sys.stdout, platform=platform)
    click.echo(_pulled_name(name, (*image.names, *image.repo_digests)))


def _pulled_name(asked: str, names: tuple[str, ...]) -> str:
    """Return the whole name under which the image is kept now: an alias may have another repository than the name."""
    wanted = parse(asked)
    if wanted.name in names:
        return wanted.name
    ending = f"@{wanted.digest}" if wanted.digest else f":{wanted.tag}"
    return next((name for name in names if name.endswith(ending)), familiar_name(wanted.name))
