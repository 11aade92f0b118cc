"""`rl healthcheck`: health checks of containers."""

import click

from cli.lazy_group import LazyGroup


@click.group(cls=LazyGroup, modules={"run": "healthcheck_run"})
def command() -> None:
    """Work with health checks."""
