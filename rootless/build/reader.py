"""The instructions of a Dockerfile as the builder goes through them; what can be wrong in one line alone is found here."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from rootless.build.dockerfile import expansion, nodes
from rootless.build.dockerfile.errors import DockerfileError, ExpansionError
from rootless.build.dockerfile.flags import Flags, check_keyword, parse_flags
from rootless.build.dockerfile.nodes import Node
from rootless.build.dockerfile.parts import Directive, Heredoc, Location
from rootless.errors import RlError

_NOT_TRIGGERS: Final = ("FROM", "MAINTAINER", "ONBUILD")
_ONE_ARGUMENT: Final = ("WORKDIR", "USER", "STOPSIGNAL", "MAINTAINER")


class Instruction(NamedTuple):
    """One instruction: its name in upper case, its flags, the rest; `arguments` and `is_json` as in `Node`.

    `source` is the text of the whole Dockerfile, for messages.
    """

    name: str
    flags: Flags
    text: str
    location: Location
    arguments: list[str]
    is_json: bool
    heredocs: tuple[Heredoc, ...]
    escape: str
    source: str

    @property
    def words(self) -> list[str]:
        """The words of the JSON form, or nothing where it is not that form; HEALTHCHECK's begin with the kind."""
        return self.arguments if self.is_json else []

    @property
    def shown(self) -> str:
        """The instruction as progress and the image's history show it."""
        flags = "".join(f"--{key}={value} " for key, values in self.flags.items() for value in values)
        return f"{self.name} {flags}{self.text}"

    @property
    def whole(self) -> str:
        """The same with its here-documents."""
        return "\n".join([self.shown, *(f"{one.content}{one.name}" for one in self.heredocs)])

    def flag(self, name: str) -> str:
        """Return a flag's value, or "" where it is not given."""
        return self.flags.get(name, ("",))[-1]

    def is_on(self, name: str) -> bool:
        """Tell whether a switch is given, and not as false."""
        return self.flag(name) == "true"

    def expand(self, text: str, variables: Mapping[str, str]) -> str:
        """Return one word without its quotes and with its variables replaced. Raises `ExpansionError`."""
        return expansion.expand(text, variables.get, self.escape)

    def expand_words(self, text: str, variables: Mapping[str, str]) -> list[str]:
        """Expand, and split at white space outside of quotes. Raises `ExpansionError`."""
        return expansion.expand_words(text, variables.get, self.escape)

    def error(self, reason: str, hint: str | None = None) -> DockerfileError:
        """Return an error that shows this instruction."""
        return DockerfileError(f"dockerfile line {self.location.first_line}: {reason}", self.location, self.source, hint)

    def shown_in(self, error: RlError) -> RlError:
        """Return an error that a step met as one that shows this instruction; those that show one already stay."""
        if isinstance(error, DockerfileError):
            return error
        told = self.error(error.message, error.hint)
        return type(error)(told.message, told.hint) if not isinstance(error, ExpansionError) else told


class Dockerfile(NamedTuple):
    """A Dockerfile that was read: its text, its name for messages, its instructions, and its directives by name."""

    text: str
    name: str
    instructions: list[Instruction]
    directives: Mapping[str, Directive]


def read(content: str, name: str = "Dockerfile") -> Dockerfile:
    """Return a Dockerfile's instructions. Raises `DockerfileError`, which shows the line; `name` is the file's for that."""
    source = nodes.read(content, name)
    found = [_instruction(node, content, name, source.escape) for node in source.nodes]
    return Dockerfile(content, name, found, source.directives)


def read_trigger(text: str, of_image: str) -> Instruction:
    """Return the instruction that ONBUILD has noted in an image. Raises `DockerfileError`."""
    found = read(text, f"ONBUILD of {of_image}").instructions
    if len(found) != 1 or found[0].name in _NOT_TRIGGERS:
        raise DockerfileError(f"{text!r:.200} isn't allowed as an ONBUILD trigger")
    return found[0]


def _instruction(node: Node, content: str, name: str, escape: str) -> Instruction:
    location = Location(name, node.first_line, node.last_line)
    keyword = node.keyword.upper()
    try:
        check_keyword(keyword)
        flags = parse_flags(keyword, node.flags)
        _check(node, keyword)
    except ValueError as error:
        raise DockerfileError(f"dockerfile parse error on line {node.first_line}: {error}", location, content) from None
    return Instruction(keyword, flags, node.rest, location, node.arguments, node.json, tuple(node.heredocs), escape, content)


def _check(node: Node, keyword: str) -> None:
    """Raise `ValueError` where an instruction has too few words, or words that cannot be."""
    if not node.rest:
        needed = "exactly" if keyword in _ONE_ARGUMENT else "at least"
        raise ValueError(
            "FROM requires either one or three arguments" if keyword == "FROM" else f"{keyword} requires {needed} one argument"
        )
    if keyword == "ONBUILD" and node.child is not None:
        inner = node.child.keyword.upper()
        if inner in _NOT_TRIGGERS:
            text = f"{inner} isn't allowed as an ONBUILD trigger"
            raise ValueError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed" if inner == "ONBUILD" else text)
        check_keyword(inner)
        parse_flags(inner, node.child.flags)
        _check(node.child, inner)
    if keyword in ("ENV", "LABEL") and "" in node.arguments[::3]:
        raise ValueError(f"{keyword} names can not be blank")
    if keyword == "ARG" and any(not word.partition("=")[0] for word in node.arguments):
        raise ValueError("ARG names can not be blank")
    if keyword in ("COPY", "ADD") and len(node.arguments) < 2:
        text = f"{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        raise ValueError(text)
    if keyword == "SHELL" and not (node.json and node.arguments):
        raise ValueError("SHELL requires the arguments to be in JSON form")
    if keyword == "VOLUME" and not all(node.arguments):
        raise ValueError("VOLUME specified can not be an empty string")
