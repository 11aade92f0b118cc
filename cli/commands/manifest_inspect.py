"""`rl manifest inspect`: show an image list, or the manifest that a registry has."""

import json
import os
from typing import Any

import click

from cli.formats import pretty_json
from cli.list_instances import TRANSPORT
from cli.tables import emit
from cli.verb import Verb
from rootless.errors import NoSuchObject
from rootless.images import manifest_list, reference
from rootless.locations import from_environment


@click.command(cls=Verb)
@click.argument("name", metavar="LIST|NAME")
def command(*, name: str) -> None:
    """Show an image list of the store, or else the manifest or list that a registry has under a name."""
    emit(pretty_json(_find(name)))


def _find(name: str) -> Any:
    locations = from_environment(os.environ, os.geteuid())
    if not name.startswith(TRANSPORT):
        try:
            return manifest_list.find(locations, name)[1]
        except NoSuchObject:
            pass  # it may be in a registry
    from rootless.images.list_transfer import Source  # trio and httpx, 0.3 s: only for registries

    wanted = reference.parse(name.removeprefix(TRANSPORT))
    return json.loads(Source(locations, os.environ).manifest(wanted).content)
