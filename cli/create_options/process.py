"""Options of the container's process: command, user, environment, working folder."""

import os
from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.environment import read_env_file, resolve_environment
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("-e", "--env", "environment", multiple=True, metavar="NAME[=VALUE]", help="Set an environment variable."),
    click.option("--env-file", "env_files", multiple=True, metavar="FILE", help="Read environment variables from a file."),
    click.option("-w", "--workdir", metavar="DIR", help="The working directory inside the container."),
    click.option("-u", "--user", metavar="NAME|UID[:GROUP|GID]", help="The user inside the container."),
    click.option("--entrypoint", metavar="COMMAND", help="Replace the image's entry point."),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`."""
    entries = [entry for path in given.texts("env_files") for entry in read_env_file(path, os.environ)]
    entries += resolve_environment(given.texts("environment"), os.environ)
    return options._replace(
        environment=tuple(entries),
        workdir=_absolute(given.text("workdir")),
        user=given.text("user"),
        entrypoint=given.text("entrypoint"),
    )


def _absolute(workdir: str | None) -> str | None:
    if workdir and not workdir.startswith("/"):
        raise InvalidInput(f"the working directory {workdir!r} is not absolute", f"give its path in the container: /{workdir}")
    return workdir
