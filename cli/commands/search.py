"""`rl search`: find images in a registry."""

import os
from typing import TYPE_CHECKING, Any, Final

import click

from cli.formats import show_rows
from cli.tables import ellipsis
from cli.verb import GoFlags
from rootless.errors import InvalidInput

if TYPE_CHECKING:
    from rootless.registry.search import Match

_WIDTH: Final = 45  # columns of a description, as in Docker
_COLUMNS: Final = ("Name", "Description", "StarCount", "IsOfficial")
_HEADERS: Final = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
    "IsAutomated": "AUTOMATED",
}
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}


@click.command(cls=GoFlags)
@click.option("--limit", type=int, default=25, help="How many results at most (25).")
@click.option("-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="stars=N, is-official=true|false.")
@click.option("--format", "form", metavar="TEMPLATE", help="A Go template, `table TEMPLATE` or json.")
@click.option("--no-trunc", is_flag=True, help="Do not shorten descriptions.")
@click.argument("term", metavar="[REGISTRY/]TERM")
def command(*, term: str, limit: int, filters: tuple[str, ...], form: str | None, no_trunc: bool) -> None:
    """Find images in Docker Hub, or in the catalog of another registry."""
    from rootless.registry.search import search  # httpx and trio: not for `rl --help`

    wanted = [_filter(text) for text in filters]
    matches = [match for match in search(term, limit, environ=os.environ) if all(_fits(match, *one) for one in wanted)]
    # As in Docker: yes and no are words for programs, a mark for people.
    words = ("true", "false") if form and (form == "json" or "{{json .}}" in form) else ("[OK]", "")
    show_rows(form, _COLUMNS, _HEADERS, [_row(match, words, whole=no_trunc) for match in matches])


def _row(match: "Match", words: tuple[str, str], *, whole: bool) -> dict[str, Any]:
    description = " ".join(match.description.split())
    yes, no = words
    return {
        "Description": description if whole else ellipsis(description, _WIDTH),
        "IsAutomated": yes if match.is_automated else no,
        "IsOfficial": yes if match.is_official else no,
        "Name": match.name,
        "StarCount": str(match.stars),
    }


def _filter(text: str) -> tuple[str, int | bool]:
    """Read one filter. Raises `InvalidInput`."""
    key, _, value = text.partition("=")
    if key == "stars" and value.isdecimal() and len(value) < 16:
        return key, int(value)
    if key in {"is-official", "is-automated"} and value.lower() in _TRUTHS:
        return key, _TRUTHS[value.lower()]
    raise InvalidInput(f"invalid filter {text!r}", "the filters are stars=N, is-official=true|false and is-automated=true|false")


def _fits(match: "Match", key: str, value: int | bool) -> bool:
    if key == "stars":
        return match.stars >= value
    return (match.is_official if key == "is-official" else match.is_automated) is value
