"""`rl events`: what happens to containers, images, volumes and networks, as it happens."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click

from cli.durations import parse_since
from cli.event_filters import EventFilters
from cli.event_reader import Event, EventReader
from cli.tables import emit, for_output
from cli.verb import Verb
from rootless.durations import NANOSECONDS
from rootless.events import folder_of
from rootless.locations import from_environment

_GO_NAMES: Final = {"Status": "status", "ID": "id", "From": "from", "Scope": "scope", "Time": "time", "TimeNano": "timeNano"}


@click.command(cls=Verb)
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Show those that match (container, event, …).")
@click.option("--format", "form", metavar="FORMAT", help="'json', or a Go template.")
@click.option("--since", metavar="TIME", help="Begin with what happened since a time, or so long ago (42m).")
@click.option("--until", metavar="TIME", help="End at a time.")
@click.option("--stream/--no-stream", default=True, help="Go on with what happens from now on (default), or end.")
def command(*, filters: tuple[str, ...], form: str | None, since: str | None, until: str | None, stream: bool) -> None:
    """Show what happens to containers, images, volumes and networks."""
    now = time.time_ns()
    first = parse_since(since, now) if since else None
    last = parse_since(until, now) if until else None
    wanted, show = EventFilters(filters), _printer(form)
    stream = stream and (last is None or last > now)
    reader = EventReader(folder_of(from_environment(os.environ, os.geteuid())), from_now=stream and first is None)
    try:
        for event in reader.follow(last) if stream else reader.present():
            if last is not None and event["timeNano"] > last:
                break
            if (first is None or event["timeNano"] >= first) and wanted.passes(event):
                show(event)
    finally:
        reader.close()


class _Row(Mapping[str, Any]):
    """An event as Docker's JSON has it, which a template may also name as Docker's Go type does."""

    def __init__(self, event: Event) -> None:
        actor, kind = event["Actor"], event["Type"]
        nanoseconds = event["timeNano"]
        of_container = {"status": event["Action"], "id": actor["ID"]} if kind in ("container", "image") else {}
        if kind == "container":
            of_container["from"] = actor["Attributes"].get("image", "")
        times = {"time": nanoseconds // NANOSECONDS, "timeNano": nanoseconds}
        self._fields = {**of_container, "Type": kind, "Action": event["Action"], "Actor": actor, "scope": "local", **times}

    def __getitem__(self, name: str) -> Any:
        if name in _GO_NAMES:
            return self._fields.get(_GO_NAMES[name], "")
        return self._fields[name]

    def __contains__(self, name: object) -> bool:
        return name in self._fields or name in _GO_NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)


def _printer(form: str | None) -> Any:
    """Return what shows an event, at once: a reader may wait for it."""
    if form:
        from cli.gotemplate import Template  # with --format only

        template = Template("{{json .}}" if form == "json" else form)

    def show(event: Event) -> None:
        emit(for_output(template.render(_Row(event)) if form else _line(event)))
        sys.stdout.flush()

    return show


def _line(event: Event) -> str:
    attributes = event["Actor"]["Attributes"]
    shown = ", ".join(f"{name}={attributes[name]}" for name in sorted(attributes))
    return f"{_local_time(event['timeNano'])} {event['Type']} {event['Action']} {event['Actor']['ID']} ({shown})"


def _local_time(nanoseconds: int) -> str:
    local = time.localtime(nanoseconds // NANOSECONDS)
    zone = time.strftime("%z", local)
    text = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{nanoseconds % NANOSECONDS:09d}{text}"
