"""`rl secret`: the verbs of secrets."""

import click

from cli.lazy_group import LazyGroup

_VERBS = {
    "create": "secret_create",
    "exists": "secret_exists",
    "inspect": "secret_inspect",
    "list": "secret_ls",
    "ls": "secret_ls",
    "remove": "secret_rm",
    "rm": "secret_rm",
}


@click.group(cls=LazyGroup, modules=_VERBS)
def command() -> None:
    """Work with secrets."""
