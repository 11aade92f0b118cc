"""`rl builder`: the build cache."""

import click

from cli.lazy_group import LazyGroup

_VERBS = {"build": "build", "du": "builder_du", "prune": "builder_prune"}


@click.group(cls=LazyGroup, modules=_VERBS)
def command() -> None:
    """Work with the build cache."""
