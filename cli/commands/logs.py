"""`rl logs`: show what a container wrote."""

import os
import time
from collections.abc import Iterable, Iterator

import click

from cli.log_reader import Entry, LogReader, Selection, entries
from cli.several import for_each
from rootless.containers.documents import Document
from rootless.containers.store import ContainerStore, is_of_this_node
from rootless.errors import InUse, InvalidInput
from rootless.linux.process import ProcessId, open_pidfd
from rootless.locations import from_environment

_DESCRIPTORS = {"stdout": 1, "stderr": 2}


@click.command()
@click.option("-f", "--follow", is_flag=True, help="Go on with what the container writes, until it ends.")
@click.option("--since", metavar="TIME", help="Show what was written since a time (2026-01-31T12:00:00Z) or so long ago (42m).")
@click.option("--until", metavar="TIME", help="Show what was written before a time.")
@click.option("-n", "--tail", default="all", metavar="N", help="Show the last N lines only.")
@click.option("-t", "--timestamps", is_flag=True, help="Show when each line was written.")
@click.argument("container")
def command(*, container: str, follow: bool, since: str | None, until: str | None, tail: str, timestamps: bool) -> int:
    """Show what CONTAINER wrote to its standard output and error."""
    selection = Selection(_tail(tail), _time(since), _time(until))

    def show(name: str) -> None:
        document = ContainerStore(from_environment(os.environ, os.geteuid())).find(name)
        _show(document, selection, follow=follow, timestamps=timestamps)

    return for_each([container], show)


def _tail(text: str) -> int | None:
    """Return how many lines; all for `all` and for negative numbers, as Docker."""
    if text == "all":
        return None
    if not text.lstrip("-").isdecimal():
        raise InvalidInput(f'invalid number of lines: "{text}"', "give a number, or all")
    return int(text) if int(text) >= 0 else None


def _time(text: str | None) -> int | None:
    if text is None:
        return None
    from cli.durations import parse_since

    return parse_since(text, time.time_ns())


def _show(document: Document, selection: Selection, *, follow: bool, timestamps: bool) -> None:
    pidfd = _monitor(document) if follow else None  # before reading: no line can slip between
    try:
        reader = LogReader(document["LogPath"])
    except FileNotFoundError:
        return  # never started: it has no log
    if selection.tail is not None:
        reader.seek_tail(selection.tail)
    blocks = reader.blocks() if pidfd is None else reader.follow(document["LogPath"], pidfd)
    for lines in blocks:
        _write(entries(lines, selection), timestamps=timestamps)
    reader.close()


def _monitor(document: Document) -> int | None:
    """Return a pidfd of the monitor; None for a container that does not run."""
    if document["State"]["Running"] and not is_of_this_node(document):
        node = document["Rl"]["Node"]
        raise InUse(f"container {document['Id'][:12]} is running on {node}", f"leave out -f, or log in to {node}")
    monitor = document["Rl"]["Monitor"]
    return open_pidfd(ProcessId(*monitor)) if document["State"]["Running"] and monitor is not None else None


def _write(found: Iterable[Entry], *, timestamps: bool) -> None:
    """Write entries to the streams they came from, those that follow each other on one stream at once."""
    for stream, text in _joined(found, timestamps=timestamps):
        content = memoryview(text.encode("utf-8", "replace"))
        while content:
            content = content[os.write(_DESCRIPTORS.get(stream, 1), content) :]


def _joined(found: Iterable[Entry], *, timestamps: bool) -> Iterator[tuple[str, str]]:
    current, texts = "", [""]
    for entry in found:
        if entry.stream != current:
            yield current, "".join(texts)
            current, texts = entry.stream, []
        texts.append(f"{entry.time} {entry.log}" if timestamps else entry.log)
    yield current, "".join(texts)
