"""`rl pod inspect`: all that is known of pods."""

import os
from typing import Any

import click

from cli.formats import pretty_json, show_object
from cli.pod_document import pod_document
from cli.several import for_each
from cli.tables import emit
from cli.verb import Verb
from rootless.containers import pod_members
from rootless.locations import from_environment


@click.command(cls=Verb)
@click.option("-f", "--format", "form", metavar="FORMAT", help="'json', or a Go template.")
@click.argument("pods", nargs=-1, required=True, metavar="POD…")
def command(*, pods: tuple[str, ...], form: str | None) -> int:
    """Show all that is known of pods, as JSON."""
    locations = from_environment(os.environ, os.geteuid())
    found: list[Any] = []

    def look_up(name: str) -> None:
        infra = pod_members.find(locations, name)
        document = pod_document(infra, [infra, *pod_members.members(locations, infra["Id"])])
        if form:
            show_object(form, document)
        else:
            found.append(document)

    status = for_each(pods, look_up)
    if not form:
        emit(pretty_json(found))
    return status
