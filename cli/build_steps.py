"""Options of `rl build` for the containers of its steps: those of `rl run` that mean something there, read as there."""

from collections.abc import Callable
from typing import Any, Final

import click

from cli.create_options import files, limits, names
from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions

_OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("--add-host", multiple=True, metavar="NAME:ADDRESS|host-gateway", help="Add a line to /etc/hosts of steps."),
    click.option("--dns", multiple=True, metavar="ADDRESS|none", help="Steps ask this name server."),
    click.option("--dns-search", multiple=True, metavar="DOMAIN|.", help="Steps search this domain; a dot: none."),
    click.option("--dns-option", "--dns-opt", "dns_options", multiple=True, metavar="OPTION", help="An option of resolv.conf."),
    click.option("--shm-size", metavar="SIZE", help="The size of /dev/shm of steps (default: 64m)."),
    click.option("--ulimit", "ulimits", multiple=True, metavar="NAME=SOFT[:HARD]", help="Limit a resource of steps."),
    click.option("-v", "--volume", "volumes", multiple=True, metavar="SOURCE:TARGET[:OPTIONS]", help="Mount a folder in steps."),
)
# What the readers of these options look for besides.
_ABSENT: Final[dict[str, object]] = {
    "domainname": None, "no_hosts": False, "sysctls": (), "oom_score_adj": None, "mounts": (), "tmpfs": (), "volumes_from": (),
    "secrets": (), "read_only": False,
}  # fmt: skip


def step_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command these options; what they are goes to `options_of_steps`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def options_of_steps(values: dict[str, object], network: str) -> CreateOptions:
    """Return what was asked for. Raises `InvalidInput`."""
    given = Given({**_ABSENT, **values})
    options = CreateOptions(network=network)
    for concern in (names, limits, files):
        options = concern.apply(options, given)
    return options
