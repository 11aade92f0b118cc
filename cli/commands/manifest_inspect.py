"""`rl manifest inspect`: show an image list, or the manifest that a registry has."""

import os
from typing import Any

import click

from cli.formats import pretty_json
from cli.list_instances import TRANSPORT
from cli.registry_options import Reach, registry_options
from cli.tables import emit
from cli.verb import Verb
from rootless.errors import NoSuchObject
from rootless.images import json_document, manifest_list, reference
from rootless.locations import from_environment


@click.command(cls=Verb)
@registry_options
@click.argument("name", metavar="LIST|NAME")
def command(*, name: str, by: Reach) -> None:
    """Show an image list of the store, or else the manifest or list that a registry has under a name."""
    emit(pretty_json(_find(name, by)))


def _find(name: str, by: Reach) -> Any:
    locations = from_environment(os.environ, os.geteuid())
    if not name.startswith(TRANSPORT):
        try:
            return manifest_list.find(locations, name)[1]
        except NoSuchObject:
            pass  # it may be in a registry
    from rootless.images.list_transfer import Source  # trio and httpx, 0.3 s: only for registries

    wanted = reference.parse(name.removeprefix(TRANSPORT))
    return json_document.parse(Source(locations, by.environ, access=by.access).manifest(wanted).content, "the manifest")
