"""The option that names the OCI runtime."""

import os
from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("--runtime", metavar="NAME|PATH", help="The OCI runtime: rl (the default), crun, runc, a path; also RL_RUNTIME."),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`. Raises `NodeLacks` where there is no such runtime."""
    name = given.text("runtime") or os.environ.get("RL_RUNTIME") or options.runtime
    if name == options.runtime:
        return options
    from rootless.runtime import foreign  # rare

    path = foreign.find(name, os.environ)
    return options._replace(runtime=path if path is not None and "/" in name else name)
