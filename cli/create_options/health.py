"""Options of the health check."""

from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions
from rootless.errors import InvalidInput

_TIMES: Final = ("interval", "timeout", "start_period", "start_interval")
_ACTIONS: Final = ("none", "kill", "restart", "stop")

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("--health-cmd", metavar="COMMAND", help="Check the container's health with a command in it."),
    click.option("--health-interval", metavar="TIME", help="The time between two checks (default: 30s)."),
    click.option("--health-timeout", metavar="TIME", help="How long a check may take (default: 30s)."),
    click.option("--health-retries", type=int, metavar="N", help="How many failures in a row mean unhealthy (default: 3)."),
    click.option("--health-start-period", metavar="TIME", help="How long failures do not count at first (default: 0s)."),
    click.option("--health-start-interval", metavar="TIME", help="The time between two checks meanwhile (default: 5s)."),
    click.option("--health-on-failure", metavar="ACTION", help="none, kill, restart or stop a container that is unhealthy."),
    click.option("--no-healthcheck", is_flag=True, help="Leave out the image's health check."),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`."""
    action = given.text("health_on_failure") or "none"
    if action not in _ACTIONS:
        raise InvalidInput(f"invalid --health-on-failure: {action!r}", f"use one of {', '.join(_ACTIONS)}")
    command, retries, disabled = given.text("health_cmd"), given.number("health_retries"), given.flag("no_healthcheck")
    if not (any(given.text(f"health_{name}") for name in _TIMES) or command is not None or retries is not None or disabled):
        return options._replace(health_on_failure=action)
    from cli.durations import parse_duration  # with these options only
    from rootless.containers.health_options import HealthOptions

    def time_of(name: str) -> int | None:
        text = given.text(f"health_{name}")
        return parse_duration(text, f"--health-{name.replace('_', '-')}") if text else None

    interval, timeout, start_period, start_interval = map(time_of, _TIMES)
    found = HealthOptions(command, interval, timeout, retries, start_period, start_interval, disabled)
    return options._replace(health=found, health_on_failure=action)
