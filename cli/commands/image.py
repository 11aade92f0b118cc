"""`rl image`: the verbs of images under Docker's longer names."""

import click

from cli.lazy_group import LazyGroup

_VERBS = {
    "diff": "image_diff",
    "exists": "image_exists",
    "generate-key-pair": "image_generate_key_pair",
    "history": "history",
    "import": "import_image",
    "inspect": "image_inspect",
    "list": "images",
    "load": "load",
    "ls": "images",
    "mount": "image_mount",
    "prune": "image_prune",
    "pull": "pull",
    "push": "push",
    "rm": "rmi",
    "sign": "image_sign",
    "save": "save",
    "tag": "tag",
    "tree": "image_tree",
    "umount": "image_unmount",
    "unmount": "image_unmount",
    "untag": "untag",
    "verify": "image_verify",
}


@click.group(cls=LazyGroup, modules=_VERBS)
def command() -> None:
    """Work with images."""
