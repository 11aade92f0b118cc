"""Manual pages made from the commands themselves: `python -m cli.manual DIRECTORY` writes rl.1 and one for each verb (man(7)).

A verb's page says what `--help` says, so neither can tell what the other does not.
"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import click

from cli.program import rl

_ENVIRONMENT: Final = (
    ("RL_ROOT", "The data root: images, containers, volumes. By default $XDG_DATA_HOME/rl."),
    ("RL_RUNROOT", "The runtime directory: sockets. By default $XDG_RUNTIME_DIR/rl."),
    ("RL_STORAGE_DRIVER", "The storage driver: overlay, fuse or vfs. By default the first that works on the node."),
    ("RL_DEBUG", "Show tracebacks of errors."),
)
_EXIT_STATUS: Final = (
    "0 for success, 125 for an error of rl or of the command line, 1 for a verb that failed for an object. "
    "run, exec and start -a exit with the status of the container's command; 126 where it cannot be invoked, 127 where it is "
    "not found, 128+N where signal N ended it."
)


class Page(NamedTuple):
    """One manual page: `rl`, `rl-run`, `rl-image-prune`; `words` are the command's."""

    words: tuple[str, ...]
    command: click.Command

    @property
    def name(self) -> str:
        """The page's name, without its section."""
        return "-".join(self.words)


def pages(command: click.Command, words: tuple[str, ...] = ("rl",)) -> Iterator[Page]:
    """Yield the page of a command, and of all below it."""
    yield Page(words, command)
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=" ".join(words))
        for verb in command.list_commands(context):
            below = command.get_command(context, verb)
            assert below is not None
            yield from pages(below, (*words, verb))


def render(page: Page) -> str:
    """Return a page in the language of man(7)."""
    command = page.command
    context = click.Context(command, info_name=" ".join(page.words))
    help_text = command.help or ""
    parts = [
        f'.TH "{page.name.upper()}" "1" "" "rl" "User Commands"',
        ".SH NAME",
        f"{_roff(page.name)} \\- {_roff(_first_sentence(help_text))}",
        ".SH SYNOPSIS",
        f"\\fB{_roff(' '.join(page.words))}\\fR {_roff(' '.join(command.collect_usage_pieces(context)))}",
        ".SH DESCRIPTION",
        *_paragraphs(help_text),
        *_options(command, context),
        *_verbs(command, context, page.words),
        ".SH EXIT STATUS",
        _roff(_EXIT_STATUS),
    ]
    if page.words == ("rl",):
        parts += [".SH ENVIRONMENT", *(line for name, text in _ENVIRONMENT for line in (".TP", f".B {name}", _roff(text)))]
    else:
        parts += [".SH SEE ALSO", f".BR {'-'.join(page.words[:-1])} (1)"]
    return "\n".join(parts) + "\n"


def write(folder: str) -> list[str]:
    """Write all pages into a folder, made where it is missing; return their paths."""
    os.makedirs(folder, exist_ok=True)
    written = []
    for page in pages(rl):
        path = f"{folder}/{page.name}.1"
        with open(path, "w", encoding="utf-8") as file:
            file.write(render(page))
        written.append(path)
    return written


def _options(command: click.Command, context: click.Context) -> list[str]:
    records = [record for one in command.get_params(context) if (record := one.get_help_record(context)) is not None]
    if not records:
        return []
    return [".SH OPTIONS", *(line for names, text in records for line in (".TP", f"\\fB{_roff(names)}\\fR", _roff(text)))]


def _verbs(command: click.Command, context: click.Context, words: Sequence[str]) -> list[str]:
    if not isinstance(command, click.Group):
        return []
    lines = [".SH COMMANDS"]
    for verb in command.list_commands(context):
        below = command.get_command(context, verb)
        assert below is not None
        lines += [".TP", f".BR {_roff('-'.join((*words, verb)))} (1)", _roff(_first_sentence(below.help or ""))]
    return lines


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        yield _roff(" ".join(paragraph.split()))


def _first_sentence(text: str) -> str:
    return re.split(r"\.(?:\s|$)", " ".join(text.split()), maxsplit=1)[0]


def _roff(text: str) -> str:
    """Escape what roff would take for its own: backslashes, hyphens (which it would make typographic), a leading dot or quote."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    escaped = re.sub(r"[^\x00-\x7f]", lambda found: f"\\[u{ord(found[0]):04X}]", escaped)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    write(sys.argv[1])
