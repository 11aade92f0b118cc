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
    click.option("--env-host", is_flag=True, help="Set the environment that you have, below the image's."),
    click.option("--env-merge", multiple=True, metavar="NAME=VALUE", help="Set a variable with ${NAME} of the image's in it."),
    click.option("--unsetenv", multiple=True, metavar="NAME", help="Leave out a variable of the image's."),
    click.option("--unsetenv-all", is_flag=True, help="Leave out all variables but those given."),
    click.option("-w", "--workdir", metavar="DIR", help="The working directory inside the container."),
    click.option("-u", "--user", metavar="NAME|UID[:GROUP|GID]", help="The user inside the container."),
    click.option("--entrypoint", metavar="COMMAND", help="Replace the image's entry point."),
    click.option("--umask", metavar="MODE", help="The umask inside the container, in octal (default: 0022)."),
    click.option("--tz", metavar="ZONE|local", help="The time zone inside the container."),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`."""
    entries = [entry for path in given.texts("env_files") for entry in read_env_file(path, os.environ)]
    entries += resolve_environment(given.texts("environment"), os.environ)
    if given.text("umask") or given.text("tz"):
        from rootless.containers.process_options import check_umask, zone_file  # with these options only

        umask, zone = given.text("umask"), given.text("tz")
        if zone:
            zone_file(zone)
        fields = {"Umask": check_umask(umask) if umask else None, "Timezone": zone}
        options = options.with_fields({}, {name: value for name, value in fields.items() if value})
    return options._replace(
        host_environment=tuple(f"{name}={value}" for name, value in os.environ.items()) if given.flag("env_host") else (),
        merged_environment=tuple(resolve_environment(given.texts("env_merge"), os.environ)),
        unset=given.texts("unsetenv"),
        unset_all=given.flag("unsetenv_all"),
        environment=tuple(entries),
        workdir=_absolute(given.text("workdir")),
        user=given.text("user"),
        entrypoint=given.text("entrypoint"),
    )


def _absolute(workdir: str | None) -> str | None:
    if workdir and not workdir.startswith("/"):
        raise InvalidInput(f"the working directory {workdir!r} is not absolute", f"give its path in the container: /{workdir}")
    return workdir
