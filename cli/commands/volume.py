"""`rl volume`: the verbs of volumes."""

import click

from cli.lazy_group import LazyGroup

_VERBS = {
    "create": "volume_create",
    "exists": "volume_exists",
    "export": "volume_export",
    "import": "volume_import",
    "inspect": "volume_inspect",
    "list": "volume_ls",
    "ls": "volume_ls",
    "prune": "volume_prune",
    "remove": "volume_rm",
    "rm": "volume_rm",
}


@click.group(cls=LazyGroup, modules=_VERBS)
def command() -> None:
    """Work with volumes."""
