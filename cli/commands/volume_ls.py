"""`rl volume ls`: list the volumes."""

import os
from functools import partial

import click

from cli.formats import show_rows
from cli.several import warn
from cli.tables import emit
from cli.verb import Verb
from cli.volume_rows import COLUMNS, HEADERS, VolumeFilters, row_of
from rootless.locations import from_environment
from rootless.storage.volumes import VolumeStore

_FILTERS = ("dangling", "driver", "label", "label!", "name", "scope")


@click.command(cls=Verb)
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Show those that match (dangling, label, …).")
@click.option("--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json', or a Go template.")
@click.option("-q", "--quiet", is_flag=True, help="Show only names.")
def command(*, filters: tuple[str, ...], form: str | None, quiet: bool) -> None:
    """List volumes by name."""
    locations = from_environment(os.environ, os.geteuid())
    volumes = VolumeStore(locations).list(warn)
    if filters:
        from cli.image_filters import parse_filters  # with the option only
        from rootless.containers.volume_users import users_of_volumes

        chosen = VolumeFilters(parse_filters(filters, _FILTERS), partial(users_of_volumes, locations))
        volumes = [volume for volume in volumes if chosen.passes(volume)]
    if quiet and not form:
        for volume in volumes:
            emit(volume.name)
        return
    show_rows(form, COLUMNS, HEADERS, map(row_of, volumes))
