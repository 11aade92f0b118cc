"""Options of the kernel's limits and settings for the container's processes."""

from typing import Final

import click

from cli.create_options.given import Decorator, Given
from rootless.containers.options import CreateOptions

OPTIONS: Final[tuple[Decorator, ...]] = (
    click.option("--ulimit", "ulimits", multiple=True, metavar="NAME=SOFT[:HARD]|host", help="Limit a resource (default: yours)."),
    click.option("--sysctl", "sysctls", multiple=True, metavar="NAME=VALUE", help="Set a kernel parameter of its namespaces."),
    click.option("--oom-score-adj", type=int, metavar="N", help="How early it is killed when memory is short (-1000 to 1000)."),
)


def apply(options: CreateOptions, given: Given) -> CreateOptions:
    """Put what was given into `options`. Raises `InvalidInput`."""
    ulimits, sysctls, score = given.texts("ulimits"), given.texts("sysctls"), given.number("oom_score_adj")
    if not ulimits and not sysctls and score is None:
        return options
    from rootless.containers import kernel_options  # with these options only

    fields = {
        "Ulimits": kernel_options.parse_ulimits(ulimits) or None,
        "OomScoreAdj": kernel_options.check_oom_score(score or 0),
        **({"Sysctls": kernel_options.parse_sysctls(sysctls, options.namespaces, options.network)} if sysctls else {}),
    }
    return options.with_fields(fields)
