"""Options of the container's end, and of what follows it."""

from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("--restart", metavar="POLICY", help="Start again at the end: no, always, on-failure[:N], unless-stopped."),
    click.option("--stop-signal", metavar="SIGNAL", help="The signal that stops the container (default: the image's, or TERM)."),
    click.option("--stop-timeout", type=int, metavar="SECONDS", help="How long it may take to stop (default: 10; -1: for ever)."),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`."""
    policy, number = given.text("restart"), given.text("stop_signal")
    if policy:
        from rootless.containers import restart  # with the option only

        parsed = restart.parse(policy)
        if parsed.name != "no" and options.remove:
            raise InvalidInput("Conflicting options: --restart and --rm", "leave one of them out")
        options = options._replace(restart_policy=parsed.as_json)
    if number:
        from rootless.runtime.signals import signal_number  # as above

        signal_number(number)
        options = options._replace(stop_signal=number)
    return options._replace(stop_timeout=given.number("stop_timeout"))
