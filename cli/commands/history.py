"""`rl history`: how an image came about."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import click

from cli.durations import ago, created_at
from cli.formats import show_rows
from cli.sizes import human_size
from cli.tables import ellipsis, emit
from cli.verb import Verb
from rootless.images.history import Step, history_of
from rootless.images.store import ImageStore
from rootless.locations import from_environment

COLUMNS: Final = ("ID", "CreatedSince", "CreatedBy", "Size", "Comment")
HEADERS: Final = {
    "Comment": "COMMENT",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "CreatedSince": "CREATED",
    "ID": "IMAGE",
    "Size": "SIZE",
}
_MISSING: Final = "<missing>"
_WIDTH: Final = 45


@click.command(cls=Verb)
@click.option("--format", "form", metavar="FORMAT", help="'table', 'table TEMPLATE', 'json', or a Go template.")
@click.option("-H", "--human/--no-human", default=True, help="Sizes and dates for people (the default; --human=false).")
@click.option("--no-trunc", is_flag=True, help="Do not shorten IDs and commands.")
@click.option("-q", "--quiet", is_flag=True, help="Only show image IDs.")
@click.argument("image", metavar="IMAGE")
def command(*, image: str, form: str | None, human: bool, no_trunc: bool, quiet: bool) -> None:
    """Show the steps that made an image, the last first."""
    locations = from_environment(os.environ, os.geteuid())
    found = ImageStore(locations).get(image)
    whole = found.id if no_trunc else found.id.removeprefix("sha256:")[:12]
    now = time.time()
    steps = history_of(locations, found)
    rows = [StepRow(step, _MISSING if at else whole, now, human=human, truncate=not no_trunc) for at, step in enumerate(steps)]
    if quiet and not form:
        for row in rows:
            emit(row["ID"])
        return
    show_rows(form, COLUMNS, HEADERS, rows)


class StepRow(Mapping[str, Any]):
    """One step with the fields of Docker's formatter; `now` is seconds since the epoch."""

    def __init__(self, step: Step, image_id: str, now: float, *, human: bool, truncate: bool) -> None:
        self.step = step
        self.image_id = image_id
        self.now = now
        self.human = human
        self.truncate = truncate

    def __getitem__(self, field: str) -> Any:
        return _FIELDS[field](self)

    def __iter__(self) -> Iterator[str]:
        return iter(_FIELDS)

    def __len__(self) -> int:
        return len(_FIELDS)

    def _created_by(self) -> str:
        text = self.step.created_by.replace("\t", " ")
        return ellipsis(text, _WIDTH) if self.truncate else text

    def _since(self) -> str:
        if not self.human:
            return self.step.created
        try:
            return ago(self.step.created, self.now)
        except ValueError:  # a tool may leave the time out, or write anything
            return "N/A"

    def _at(self) -> str:
        try:
            return created_at(self.step.created)
        except (ValueError, OverflowError):
            return ""


_FIELDS: Final[Mapping[str, Callable[[StepRow], str]]] = {
    "Comment": lambda row: row.step.comment,
    "CreatedAt": StepRow._at,
    "CreatedBy": StepRow._created_by,
    "CreatedSince": StepRow._since,
    "ID": lambda row: row.image_id,
    "Size": lambda row: human_size(row.step.size) if row.human else str(row.step.size),
}
