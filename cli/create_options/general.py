"""Options of the container as a whole: its name, its streams, its end."""

from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("-i", "--interactive", is_flag=True, help="Keep standard input open."),
    click.option("-t", "--tty", is_flag=True, help="Give the container a terminal."),
    click.option("--rm", "remove", is_flag=True, help="Remove the container when it ends."),
    click.option("--name", help="Name the container."),
    click.option("--init", is_flag=True, help="Run an init that forwards signals and reaps processes."),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`."""
    return options._replace(
        interactive=given.flag("interactive"),
        terminal=given.flag("tty"),
        remove=given.flag("remove"),
        name=given.text("name"),
        init=given.flag("init"),
    )
