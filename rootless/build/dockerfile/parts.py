"""The parts that a Dockerfile is read into: places, here-documents, directives."""

import re
from typing import NamedTuple


class Location(NamedTuple):
    """Where an instruction stands: the file's name for messages, its first and last line (from 1)."""

    file: str
    first_line: int
    last_line: int


class Heredoc(NamedTuple):
    """One here-document: `content` is as written, with the last newline, before tabs are taken off.

    `expand` is False where the word was quoted (`<<'EOF'`), `chomp` is True for `<<-EOF`. `text` has the tabs taken off.
    """

    name: str
    content: str
    expand: bool = True
    chomp: bool = False
    descriptor: int = 0

    @property
    def text(self) -> str:
        """The content as the file or script has it: for `<<-` without the tabs at the start of each line."""
        if not self.chomp:
            return self.content
        return re.sub(r"(?m)^\t+", "", self.content)


class Directive(NamedTuple):
    """A parser directive: `# syntax=…`, `# escape=…` or `# check=…`, with its line."""

    name: str
    value: str
    line: int
