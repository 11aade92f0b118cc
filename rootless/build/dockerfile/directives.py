"""Parser directives: `# syntax=`, `# escape=` and `# check=` in the first lines of a Dockerfile, before anything else."""

import re
from typing import Final

from rootless.build.dockerfile.parts import Directive
from rootless.build.dockerfile.words import SPACES

_DIRECTIVE: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+)")
_NAMES: Final = ("syntax", "escape", "check")


class DirectiveReader:
    """Takes the directives from the first lines; any other line ends them."""

    def __init__(self) -> None:
        self.found: dict[str, Directive] = {}
        self.done = False
        self.escape = "\\"

    def take(self, line: str, number: int) -> bool:
        """Take `line` if it is a directive, and say so. Raises `ValueError` for a second one of a name, and for a bad escape."""
        directive = None if self.done else _directive_of(line, number)
        if directive is None:
            self.done = True
            return False
        if directive.name in self.found:
            raise ValueError(f"only one {directive.name} parser directive can be used")
        self.found[directive.name] = directive
        if directive.name == "escape":
            if directive.value not in ("\\", "`"):
                raise ValueError(f"invalid escape token '{directive.value}' does not match ` or \\")
            self.escape = directive.value
        return True


def _directive_of(line: str, number: int) -> Directive | None:
    """Return the directive that `line` is, or None."""
    if not line.startswith("#"):
        return None
    match = _DIRECTIVE.fullmatch(line[1:].lstrip(SPACES).rstrip("\t\n\f\r "))
    if match is None or match[1].lower() not in _NAMES:
        return None
    return Directive(match[1].lower(), match[2], number)
