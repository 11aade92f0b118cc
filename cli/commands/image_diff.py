"""`rl image diff`: what an image changed."""

import json
import os

import click

from cli.tables import emit, for_output
from cli.verb import Verb
from rootless.images.diff import ADDED, CHANGED, DELETED, diff_images
from rootless.images.store import ImageStore
from rootless.locations import from_environment, make_private_folder

_JSON_NAMES = {CHANGED: "changed", ADDED: "added", DELETED: "deleted"}


@click.command(cls=Verb)
@click.option("--format", "form", metavar="FORMAT", type=click.Choice(["json"]), help="'json' for lists by kind.")
@click.argument("image", metavar="IMAGE")
@click.argument("other", metavar="[OTHER]", required=False)
def command(*, image: str, other: str | None, form: str | None) -> None:
    """Show what an image's topmost layer, or an image compared with another, added (A), changed (C) and deleted (D)."""
    locations = from_environment(os.environ, os.geteuid())
    make_private_folder(locations.runtime_dir)
    store = ImageStore(locations)
    changes = diff_images(locations, store.get(image), store.get(other) if other else None)
    if form is None:
        for kind, path in changes:
            emit(for_output(f"{kind} {path}"))
        return
    found: dict[str, list[str]] = {}
    for kind, path in changes:
        found.setdefault(_JSON_NAMES[kind], []).append(path)
    emit(json.dumps({name: found[name] for name in _JSON_NAMES.values() if name in found}, indent=5))
