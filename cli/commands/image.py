"""`rl image`: the verbs of images under Docker's longer names."""

import click

from cli.lazy_group import LazyGroup

_VERBS = {
    "import": "import_image",
    "list": "images",
    "ls": "images",
    "pull": "pull",
    "rm": "rmi",
}


@click.group(cls=LazyGroup, modules=_VERBS)
def command() -> None:
    """Work with images."""
