"""`rl container`: the verbs of containers under Docker's longer names."""

import click

from cli.lazy_group import LazyGroup

_VERBS = {
    "attach": "attach",
    "clone": "clone",
    "commit": "commit",
    "cp": "cp",
    "create": "create",
    "diff": "diff",
    "exec": "exec",
    "exists": "container_exists",
    "export": "export",
    "init": "init",
    "inspect": "container_inspect",
    "kill": "kill",
    "list": "ps",
    "logs": "logs",
    "ls": "ps",
    "prune": "container_prune",
    "ps": "ps",
    "rename": "rename",
    "restart": "restart",
    "rm": "rm",
    "run": "run",
    "start": "start",
    "stop": "stop",
    "top": "top",
    "update": "update",
    "wait": "wait",
}


@click.group(cls=LazyGroup, modules=_VERBS)
def command() -> None:
    """Work with containers."""
