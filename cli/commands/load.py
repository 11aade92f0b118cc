"""`rl load`: bring images from an archive into the store."""

import os
import sys

import click

from cli.tables import emit
from cli.transports import ignore, tell, warn
from cli.verb import GoFlags
from rootless.errors import InvalidInput
from rootless.images.load_archive import Loaded, load_archive
from rootless.images.reference import familiar_name
from rootless.images.trust import policy
from rootless.locations import from_environment, make_private_folder


@click.command(cls=GoFlags)
@click.option("-i", "--input", "path", metavar="FILE", help="Read this file or folder instead of standard input.")
@click.option("-q", "--quiet", is_flag=True, help="Do not tell of layers that are copied.")
def command(*, path: str | None, quiet: bool) -> None:
    """Load images that `save` wrote: a docker-archive or oci-archive (plain, gzip, zstd, xz, bzip2), or a folder of either."""
    if path is None and sys.stdin.isatty():
        raise InvalidInput("will not read an archive from the terminal", "give a file: rl load -i FILE, or pipe one into rl load")
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    note = ignore if quiet else tell
    for loaded in load_archive(locations, path or sys.stdin.buffer, note=note, warn=warn, policy=policy.load(os.environ)):
        for line in _lines(loaded):
            emit(line)


def _lines(loaded: Loaded) -> list[str]:
    if not loaded.names:
        return [f"Loaded image ID: {loaded.image.id}"]
    return [f"Loaded image: {familiar_name(name)}" for name in loaded.names]
