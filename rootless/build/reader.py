"""The instructions of a Dockerfile as the builder goes through them, and the words and variables in them."""

from collections.abc import Mapping
from typing import NamedTuple

from rootless.build.dockerfile import expansion, nodes
from rootless.build.dockerfile.words import quoted_words
from rootless.errors import InvalidInput


class Instruction(NamedTuple):
    """One instruction: its name in upper case, its `--flags`, the rest, its first line; `arguments` and `is_json` as in `Node`."""

    name: str
    flags: dict[str, str]
    text: str
    line: int
    arguments: list[str]
    is_json: bool

    @property
    def words(self) -> list[str]:
        """The words of the JSON form, or nothing where it is not that form; HEALTHCHECK's begin with the kind."""
        return self.arguments if self.is_json else []

    @property
    def shown(self) -> str:
        """The instruction as progress and the image's history show it."""
        flags = "".join(f"--{key}={value} " if value else f"--{key} " for key, value in self.flags.items())
        return f"{self.name} {flags}{self.text}"


def read(content: str, name: str = "Dockerfile") -> list[Instruction]:
    """Return the instructions of a Dockerfile. Raises `InvalidInput` that shows the line; `name` is the file's for that."""
    found: list[Instruction] = []
    for node in nodes.read(content, name).nodes:
        if node.heredocs:
            raise InvalidInput(
                f"dockerfile line {node.first_line}: here-documents are not supported yet", "put the text into a file"
            )
        flags = {key: value for key, _, value in (flag.removeprefix("--").partition("=") for flag in node.flags)}
        found.append(Instruction(node.keyword.upper(), flags, node.rest, node.first_line, node.arguments, node.json))
    return found


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return one word without its quotes and with its variables replaced. Raises `InvalidInput`."""
    return expansion.expand(text, variables.get)


def words(text: str) -> list[str]:
    """Return the words of a text, split at blanks outside of quotes; quotes and escapes are kept for `expand`."""
    return quoted_words(text, "\\")
