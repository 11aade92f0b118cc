"""From a Dockerfile's text to its instructions as nodes: directives, comments, continued lines, here-documents, words.

The text is read line by line, once:

1. the first lines may be directives (`directives`); comments and empty lines between instructions are left out;
2. an instruction's line that ends with the escape character goes on in the next; comments and empty lines in between vanish;
3. the keyword chooses how the rest becomes arguments (`_READERS`), and which instructions may have here-documents, whose
   lines follow.

What the arguments mean is not known here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from rootless.build.dockerfile import words
from rootless.build.dockerfile.directives import DirectiveReader
from rootless.build.dockerfile.errors import DockerfileError, ExpansionError
from rootless.build.dockerfile.heredocs import heredocs_of_line, is_terminator
from rootless.build.dockerfile.parts import Directive, Heredoc, Location
from rootless.build.dockerfile.words import SPACES


@dataclass(slots=True)
class Node:
    """One instruction: keyword as written, flags, the text after them, arguments; `json` where those were a JSON array.

    ENV and LABEL have three arguments a pair: key, value, and "=" or "" for the form without. ONBUILD has its instruction as
    `child`.
    """

    keyword: str
    original: str
    flags: list[str]
    rest: str
    arguments: list[str]
    json: bool = False
    child: "Node | None" = None
    first_line: int = 0
    last_line: int = 0
    comments: list[str] = field(default_factory=list)
    heredocs: list[Heredoc] = field(default_factory=list)

    @property
    def takes_heredocs(self) -> bool:
        """Tell whether this instruction, or the one that ONBUILD holds, may have here-documents."""
        node = self.child if self.child is not None and self.keyword.lower() == "onbuild" else self
        return node.keyword.lower() in {"add", "copy", "run"} and not node.json


@dataclass(slots=True)
class Source:
    """A Dockerfile's nodes, directives by name, escape character, and the lines that end a continuation over an empty line."""

    nodes: list[Node]
    directives: dict[str, Directive]
    escape: str
    empty_continuations: list[int]


def read(text: str, name: str) -> Source:
    """Read a Dockerfile's text. Raises `DockerfileError`."""
    return _Reader(text, name).read()


class _Reader:
    """Goes through the lines of one text."""

    def __init__(self, text: str, name: str) -> None:
        self.text = text
        self.name = name
        self.lines = text.removeprefix("\ufeff").split("\n")
        if self.lines[-1] == "":
            self.lines.pop()  # what ends with a newline has no line after it
        self.at = 0  # the lines read so far
        self.directives = DirectiveReader()
        self.nodes: list[Node] = []
        self.empty_continuations: list[int] = []

    def read(self) -> Source:
        comments: list[str] = []
        while self.at < len(self.lines):
            line = self._next().rstrip("\r").lstrip(SPACES)
            if self._is_directive(line):
                continue
            if line.startswith("#"):
                comment = line[1:].strip(SPACES)
                comments = [*comments, comment] if comment else []
                continue
            if not line:
                continue
            self._instruction(line, comments)
            comments = []
        if not self.nodes:
            raise self._error("file with no instructions", len(self.lines), len(self.lines))
        return Source(self.nodes, self.directives.found, self.directives.escape, self.empty_continuations)

    def _next(self) -> str:
        line = self.lines[self.at]
        self.at += 1
        return line

    def _error(self, reason: str, first: int, last: int) -> DockerfileError:
        return DockerfileError(reason, Location(self.name, first, last), self.text)

    def _is_directive(self, line: str) -> bool:
        try:
            return self.directives.take(line, self.at)
        except ValueError as error:
            raise self._error(str(error), self.at, self.at) from None

    def _instruction(self, line: str, comments: list[str]) -> None:
        """Read the rest of the instruction that begins with `line`, and its here-documents."""
        first = self.at
        whole = self._continued(line)
        try:
            node = node_of_line(whole, self.directives.escape)
            if node.takes_heredocs and "<<" in whole:
                node.heredocs = [self._heredoc(heredoc, first) for heredoc in heredocs_of_line(whole)]
        except (words.NotStringsError, ExpansionError, NodeError) as error:
            raise self._error(str(error), first, self.at) from None
        node.comments, node.first_line, node.last_line = comments, first, self.at
        self.nodes.append(node)

    def _continued(self, line: str) -> str:
        """Return `line` joined with the lines it is continued in."""
        part, goes_on = _without_continuation(line, self.directives.escape)
        parts = [part]
        has_empty = False
        while goes_on and self.at < len(self.lines):
            line = self._next().rstrip("\r")
            stripped = line.lstrip(SPACES)
            if stripped.startswith("#"):
                continue
            if not stripped:
                has_empty = True
                continue
            part, goes_on = _without_continuation(line, self.directives.escape)
            parts.append(part)
        if has_empty:
            self.empty_continuations.append(self.at)
        return "".join(parts)

    def _heredoc(self, heredoc: Heredoc, first: int) -> Heredoc:
        """Read a here-document's lines; `first` is the instruction's line."""
        content: list[str] = []
        while self.at < len(self.lines):
            line = self._next()
            if is_terminator(line, heredoc):
                return heredoc._replace(content="".join(content))
            content.append(f"{line}\n")
        raise self._error("unterminated heredoc", first, self.at)


def _without_continuation(line: str, escape: str) -> tuple[str, bool]:
    """Return `line` without the escape that continues it, and whether there is one: last but for blanks, and not escaped itself."""
    stripped = line.rstrip(" \t")
    if stripped.endswith(escape) and not stripped.endswith(escape * 2):
        return stripped[:-1], True
    return line, False


class NodeError(ValueError):
    """An instruction's line cannot be read."""


_Arguments = tuple[list[str], bool]


def node_of_line(line: str, escape: str) -> Node:
    """Read an instruction's line. Raises `NodeError` and `words.NotStringsError`."""
    # ONBUILD ONBUILD … a thousand times over is refused later; here it must not be a thousand calls deep.
    outer: Node | None = None
    top: Node | None = None
    while True:
        keyword, flags, rest = words.split_keyword(line, escape)
        node = Node(keyword, line, flags, rest, [])
        if outer is None:
            top = node
        else:
            outer.child = node
        if keyword.lower() != "onbuild":
            node.arguments, node.json = _READERS.get(keyword.lower(), _nothing)(rest, escape)
            break
        if not rest:
            break
        if outer is not None:
            node.arguments = [rest]
            break
        line, outer = rest, node
    assert top is not None
    return top


def _nothing(_rest: str, _escape: str) -> _Arguments:
    return [""], False


def _one(rest: str, _escape: str) -> _Arguments:
    return ([rest] if rest else []), False


def _blank_words(rest: str, _escape: str) -> _Arguments:
    return words.blank_words(rest), False


def _quoted_words(rest: str, escape: str) -> _Arguments:
    return words.quoted_words(rest, escape), False


def _json_or_one(rest: str, escape: str) -> _Arguments:
    found = words.json_words(rest)
    return (found, True) if found is not None else _one(rest, escape)


def _json_or_blank_words(rest: str, escape: str) -> _Arguments:
    found = words.json_words(rest)
    return (found, True) if found is not None else _blank_words(rest, escape)


def _health(rest: str, escape: str) -> _Arguments:
    if not rest:
        return [], False
    kind = words.BLANKS.split(rest, maxsplit=1)[0]
    arguments, is_json = _json_or_one(rest[len(kind) :].lstrip(SPACES), escape)
    return [kind, *arguments], is_json


def _pairs(instruction: str) -> Callable[[str, str], _Arguments]:
    """Return the reader of ENV or LABEL: `KEY=VALUE…`, or the old `KEY VALUE` where the first word has no `=`."""

    def read_pairs(rest: str, escape: str) -> _Arguments:
        found = words.quoted_words(rest, escape)
        if not found:
            return [], False
        if "=" not in found[0]:
            key, *value = words.BLANKS.split(rest, maxsplit=1)
            if not value:
                raise NodeError(f"{instruction} must have two arguments")
            return [key, value[0], ""], False
        arguments: list[str] = []
        for word in found:
            key, equals, text = word.partition("=")
            if not equals:
                raise NodeError(f"Syntax error - can't find = in {word!r:.200}. Must be of the form: name=value")
            arguments += [key, text, "="]
        return arguments, False

    return read_pairs


_READERS: Final[dict[str, Callable[[str, str], _Arguments]]] = {
    "add": _json_or_blank_words,
    "arg": _quoted_words,
    "cmd": _json_or_one,
    "copy": _json_or_blank_words,
    "entrypoint": _json_or_one,
    "env": _pairs("ENV"),
    "expose": _blank_words,
    "from": _blank_words,
    "healthcheck": _health,
    "label": _pairs("LABEL"),
    "maintainer": _one,
    "run": _json_or_one,
    "shell": _json_or_one,
    "stopsignal": _one,
    "user": _one,
    "volume": _json_or_blank_words,
    "workdir": _one,
}
