"""`rl builder du`: what the build cache has."""

import os
import time

import click

from cli.sizes import human_size
from cli.tables import emit
from cli.verb import Verb
from rootless.build.cache import StepCache
from rootless.locations import from_environment


@click.command(cls=Verb)
def command() -> None:
    """List the steps in the build cache, the last used first, with the compressed size of their layers.

    A layer that an image has, too, takes no further space.
    """
    steps = sorted(StepCache(from_environment(os.environ, os.geteuid())).list(), key=lambda step: -step.used)
    emit(f"{'ID':<12}  {'SIZE':>10}  LAST USED")
    for step in steps:
        used = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(step.used))
        emit(f"{step.key[:12]}  {human_size(step.layer.blob.size if step.layer else 0, 4):>10}  {used}")
    total = sum({step.layer.blob.digest: step.layer.blob.size for step in steps if step.layer}.values())
    emit(f"Total: {human_size(total, 4)}")
