"""`rl system`: the verbs on the store and the node as a whole."""

import click

from cli.lazy_group import LazyGroup

_VERBS = {
    "check": "system_check",
    "df": "system_df",
    "events": "events",
    "info": "info",
    "prune": "system_prune",
}


@click.group(cls=LazyGroup, modules=_VERBS)
def command() -> None:
    """Work with the store and the node as a whole."""
