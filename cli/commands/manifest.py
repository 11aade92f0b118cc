"""`rl manifest`: image lists, with an image a platform."""

import click

from cli.lazy_group import LazyGroup

_VERBS = {
    "add": "manifest_add",
    "annotate": "manifest_annotate",
    "create": "manifest_create",
    "inspect": "manifest_inspect",
    "push": "manifest_push",
    "remove": "manifest_remove",
    "rm": "manifest_rm",
}


@click.group(cls=LazyGroup, modules=_VERBS)
def command() -> None:
    """Make and push image lists, which have an image a platform."""
