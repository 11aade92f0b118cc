"""`rl builder du`: what the build cache has."""

import os
import time

import click

from cli.sizes import human_size
from cli.tables import emit
from cli.verb import Verb
from rootless.build import cache_mounts
from rootless.build.cache import StepCache
from rootless.locations import from_environment, make_private_folder


@click.command(cls=Verb)
def command() -> None:
    """List the steps in the build cache, the last used first, with the compressed size of their layers.

    The folders of RUN --mount=type=cache are among them, with the size of their files. A layer that an image has, too, takes no
    further space.
    """
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    steps = list(StepCache(locations).list())
    mounts = cache_mounts.sizes(locations)
    rows = [(step.key[:12], step.layer.blob.size if step.layer else 0, step.used) for step in steps]
    emit(f"{'ID':<12}  {'SIZE':>10}  LAST USED")
    for name, size, used in sorted([*rows, *((name[:12], size, used) for name, size, used in mounts)], key=lambda row: -row[2]):
        emit(f"{name:<12}  {human_size(size, 4):>10}  {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(used))}")
    total = sum({step.layer.blob.digest: step.layer.blob.size for step in steps if step.layer}.values())
    emit(f"Total: {human_size(total + sum(size for _name, size, _used in mounts), 4)}")
