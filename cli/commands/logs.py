"""`rl logs`: show what containers wrote."""

import itertools
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import click

from cli.complaints import complain
from cli.log_entries import Entry, Selection, details_of, entries, to_bytes
from cli.log_reader import LogReader
from cli.several import for_each, report
from cli.verb import GoFlags
from rootless.containers.documents import Document, log_driver_of
from rootless.containers.store import ContainerStore, is_of_this_node
from rootless.errors import InUse, InvalidInput, RlError
from rootless.linux.process import ProcessId, open_pidfd
from rootless.locations import from_environment

_DESCRIPTORS = {"stdout": 1, "stderr": 2}
_COLORS = ("\33[37m", "\33[31m", "\33[33m", "\33[34m", "\33[35m", "\33[36m", "\33[32m")
_NO_COLOR = "\33[0m"
_UNREADABLE = {
    "none": "its log driver is none: rl attach shows output",
    "passthrough": "its log driver is passthrough: its output goes where that of the command went which started it",
}


@click.command(cls=GoFlags)
@click.option("--color", is_flag=True, help="Give the lines of each container a color of their own.")
@click.option("--details", is_flag=True, help="Show the tag, labels and variables that --log-opt names.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what the container writes, until it ends.")
@click.option("--names", is_flag=True, help="Show the container's name before each line.")
@click.option("--since", metavar="TIME", help="Show what was written since a time (2026-01-31T12:00:00Z) or so long ago (42m).")
@click.option("--until", metavar="TIME", help="Show what was written before a time.")
@click.option("-n", "--tail", default="all", metavar="N", help="Show the last N lines only.")
@click.option("-t", "--timestamps", is_flag=True, help="Show when each line was written.")
@click.argument("containers", nargs=-1, required=True, metavar="CONTAINER…")
def command(
    *,
    containers: tuple[str, ...],
    color: bool,
    details: bool,
    follow: bool,
    names: bool,
    since: str | None,
    until: str | None,
    tail: str,
    timestamps: bool,
) -> int:
    """Show what containers wrote to their standard output and error."""
    selection = Selection(_tail(tail), _time(since), _time(until))
    colors = dict(zip(containers, itertools.cycle(_COLORS), strict=False)) if color else {}
    form = _Form(timestamps, details, names or len(containers) > 1, colors)
    if follow and len(containers) > 1:
        return _follow_all(containers, selection, form)

    def show(name: str) -> None:
        document = ContainerStore(from_environment(os.environ, os.geteuid())).find(name)
        _show(document, selection, form.of(name), follow=follow)

    return for_each(containers, show)


class _Form(NamedTuple):
    """What is shown of an entry beside its text."""

    timestamps: bool
    details: bool
    names: bool
    colors: Mapping[str, str]
    color: str = ""

    def of(self, name: str) -> "_Form":
        """Return the form of one container's entries, by the name that the user gave."""
        return self._replace(color=self.colors.get(name, ""))


def _follow_all(containers: tuple[str, ...], selection: Selection, form: _Form) -> int:
    """Follow each container in a process of its own, whose writes are whole lines; returns the worst exit status."""
    children = []
    for name in containers:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                document = ContainerStore(from_environment(os.environ, os.geteuid())).find(name)
                _show(document, selection, form.of(name), follow=True)
                status = 0
            except (RlError, OSError) as error:
                report(error)
            finally:
                os._exit(status)
        children.append(pid)
    return max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children)


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


def _show(document: Document, selection: Selection, form: _Form, *, follow: bool) -> None:
    driver = log_driver_of(document)
    if driver in _UNREADABLE:
        raise InvalidInput("configured logging driver does not support reading", _UNREADABLE[driver])
    pidfd = _monitor(document) if follow else None  # before reading: no line can slip between
    blocks = _of_journal(document, selection, pidfd) if driver == "journald" else _of_files(document, selection, pidfd)
    prefix = f"{document['Name'].lstrip('/')} " if form.names else ""
    for found in blocks:
        _write(found, form, prefix)


def _of_journal(document: Document, selection: Selection, pidfd: int | None) -> Iterator[Iterable[Entry]]:
    from cli.journal_reader import JournalReader  # rare
    from rootless.containers.log_drivers import attributes_of

    folder = ContainerStore(from_environment(os.environ, os.geteuid())).folder(document["Id"])
    reader = JournalReader(folder, document["Id"], selection, details_of(attributes_of(document)))
    return reader.read() if pidfd is None else reader.follow(pidfd)


def _of_files(document: Document, selection: Selection, pidfd: int | None) -> Iterator[Iterable[Entry]]:
    try:
        reader = LogReader(document["LogPath"])
    except FileNotFoundError:
        return  # never started: it has no log
    if selection.tail is not None:
        reader.seek_tail(selection.tail)
    blocks = reader.blocks() if pidfd is None else reader.follow(document["LogPath"], pidfd)
    for lines in blocks:
        if reader.lost:
            reader.lost = False
            complain("lines are missing: the log was rotated faster than it was read", kind="warning")
        yield entries(lines, selection)
    reader.close()


def _monitor(document: Document) -> int | None:
    """Return a pidfd of the monitor; None for a container that does not run."""
    if document["State"]["Running"] and not is_of_this_node(document):
        node = document["Rl"]["Node"]
        raise InUse(f"container {document['Id'][:12]} is running on {node}", f"leave out -f, or log in to {node}")
    monitor = document["Rl"]["Monitor"]
    return open_pidfd(ProcessId(*monitor)) if document["State"]["Running"] and monitor is not None else None


def _write(found: Iterable[Entry], form: _Form, prefix: str) -> None:
    """Write entries to the streams they came from, those that follow each other on one stream at once."""
    for stream, text in _joined(found, form, prefix):
        content = memoryview(to_bytes(text))
        while content:
            content = content[os.write(_DESCRIPTORS.get(stream, 1), content) :]


def _joined(found: Iterable[Entry], form: _Form, prefix: str) -> Iterator[tuple[str, str]]:
    current, texts = "", [""]
    is_plain = not (prefix or form.timestamps or form.details or form.color)
    for entry in found:
        if entry.stream != current:
            yield current, "".join(texts)
            current, texts = entry.stream, []
        texts.append(entry.log if is_plain else _shown(entry, form, prefix))
    yield current, "".join(texts)


def _shown(entry: Entry, form: _Form, prefix: str) -> str:
    time_stamp = f"{entry.time} " if form.timestamps else ""
    details = f"{entry.details} " if form.details else ""
    text = f"{prefix}{time_stamp}{details}{entry.log}"
    if form.color:
        end = "\n" if text.endswith("\n") else ""
        return f"{form.color}{text.removesuffix(end)}{_NO_COLOR}{end}"
    return text
