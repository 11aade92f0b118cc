"""`rl container`: the verbs of containers under Docker's longer names."""

import click

from cli.lazy_group import LazyGroup

_VERBS = {
    "attach": "attach",
    "exec": "exec",
    "export": "export",
    "inspect": "inspect",
    "kill": "kill",
    "list": "ps",
    "logs": "logs",
    "ls": "ps",
    "ps": "ps",
    "rm": "rm",
    "run": "run",
    "start": "start",
    "stop": "stop",
    "wait": "wait",
}


@click.group(cls=LazyGroup, modules=_VERBS)
def command() -> None:
    """Work with containers."""
