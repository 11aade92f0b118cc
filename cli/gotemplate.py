"""Go templates (text/template), as far as `--format` needs them: parsing to a tree and running it on JSON values.

    {{.State.Status}}  {{json .Config}}  {{range $name, $net := .Networks}}{{$name}}{{end}}  {{if .Running}}up{{else}}down{{end}}
    {{with .Health}}{{.Status}}{{end}}  {{index .Labels "key"}}  {{.Names | upper}}  {{- trimmed -}}  {{/* comment */}}

Pipelines, variables, parentheses, `break`, `continue` and Docker's functions (`cli.gotemplate_functions`) work; `define`, `block`
and `template` do not. Values are what `json` makes; a callable in a value is a method, called with the arguments that follow it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput

_STRING: Final = r'"(?:[^"\\\n]|\\.)*"|`[^`]*`'
_ACTION: Final = re.compile(rf"\{{\{{(- )?(/\*.*?\*/|(?:{_STRING}|.)*?)( -)?\}}\}}", re.DOTALL)
_TOKEN: Final = re.compile(
    rf"""\s*(?:(?P<string>{_STRING})|(?P<number>[+-]?\d+(?:\.\d+)?)|(?P<variable>\$\w*)"""
    r"""|(?P<field>\.\w+)|(?P<dot>\.)|(?P<word>\w+)|(?P<mark>:=|[|(),=]))""",
)
_SPACE_BEFORE_FIELD: Final = re.compile(r"\s")


class Token(NamedTuple):
    """A piece of an action; `glued`: no space before it, so that `.b` in `(x).b` is a field of x and in `x .b` is not."""

    kind: str
    text: str
    glued: bool


class Operand(NamedTuple):
    """A value and the fields taken of it. `kind`: literal, dot, variable, function, pipeline."""

    kind: str
    value: Any
    fields: tuple[str, ...]


class Pipeline(NamedTuple):
    """Commands whose results are the next one's last argument, and the variables that take the result."""

    variables: tuple[str, ...]
    declares: bool
    commands: tuple[tuple[Operand, ...], ...]


class Node(NamedTuple):
    """`kind`: text, print, if, range, with, break, continue."""

    kind: str
    text: str = ""
    pipeline: Pipeline | None = None
    body: tuple["Node", ...] = ()
    otherwise: tuple["Node", ...] = ()


def template_error(text: str) -> InvalidInput:
    """Return the error for a template that is malformed or does not fit its value."""
    return InvalidInput(f"template parsing error: template: {text}", "the syntax is Go's: --format '{{.Name}}'")


def parse(text: str) -> tuple[Node, ...]:
    """Parse a template. Raises `InvalidInput`."""
    return _Parser(text).parse()


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield ("text", …) and ("action", …), with trimming done."""
    position, trim = 0, False
    for found in _ACTION.finditer(text):
        before = text[position : found.start()]
        before = before.lstrip() if trim else before
        yield "text", before.rstrip() if found[1] else before
        yield "action", found[2].strip()
        position, trim = found.end(), bool(found[3])
    rest = text[position:]
    if "{{" in rest:
        raise template_error("unclosed action")
    yield "text", rest.lstrip() if trim else rest


def _tokens(action: str) -> list[Token]:
    tokens: list[Token] = []
    position = 0
    while action[position:].strip():
        found = _TOKEN.match(action, position)
        if found is None or found.lastgroup is None:
            raise template_error(f"unexpected {action[position:].strip()[:20]!r} in {{{{{action}}}}}")
        glued = position > 0 and not _SPACE_BEFORE_FIELD.match(action, position)
        tokens.append(Token(found.lastgroup, found[found.lastgroup], glued))
        position = found.end()
    return tokens


class _Parser:
    """Recursive descent over the pieces of one template."""

    def __init__(self, text: str) -> None:
        self._pieces = list(_pieces(text))
        self._next = 0
        self._tokens: list[Token] = []

    def parse(self) -> tuple[Node, ...]:
        nodes, end = self._nodes()
        if end:
            raise template_error(f"unexpected {{{{{end}}}}}")
        return nodes

    def _nodes(self) -> tuple[tuple[Node, ...], str]:
        """Return the nodes up to an `end` or `else` that is not theirs, and that."""
        nodes: list[Node] = []
        while self._next < len(self._pieces):
            kind, text = self._pieces[self._next]
            self._next += 1
            if kind == "text":
                if text:
                    nodes.append(Node("text", text))
                continue
            word = text.split(None, 1)[0] if text else ""
            if word in ("end", "else"):
                return tuple(nodes), text
            if not text.startswith("/*"):
                nodes.append(self._action(word, text))
        return tuple(nodes), ""

    def _action(self, word: str, text: str) -> Node:
        if word in ("if", "range", "with"):
            return self._block(word, text[len(word) :])
        if word in ("break", "continue"):
            return Node(word)
        if word in ("define", "block", "template"):
            raise template_error(f"{word} is not supported")
        return Node("print", pipeline=self._pipeline_of(text))

    def _block(self, word: str, condition: str) -> Node:
        pipeline = self._pipeline_of(condition)
        body, end = self._nodes()
        otherwise: tuple[Node, ...] = ()
        if end.startswith("else"):
            rest = end[len("else") :].strip()
            if rest.startswith(("if ", "with ")):  # `else if` shares the `end`
                follow_up, condition = rest.split(None, 1)
                return Node(word, "", pipeline, body, (self._block(follow_up, condition),))
            otherwise, end = self._nodes()
        if end != "end":
            raise template_error(f"{word} without end")
        return Node(word, "", pipeline, body, otherwise)

    def _pipeline_of(self, text: str) -> Pipeline:
        self._tokens = _tokens(text)
        pipeline = self._pipeline()
        if self._tokens:
            raise template_error(f"unexpected {self._tokens[0].text!r} in {{{{{text.strip()}}}}}")
        return pipeline

    def _pipeline(self) -> Pipeline:
        variables, declares = self._assignment()
        commands = [self._command()]
        while self._tokens and self._tokens[0].text == "|":
            self._tokens.pop(0)
            commands.append(self._command())
        return Pipeline(variables, declares, tuple(commands))

    def _assignment(self) -> tuple[tuple[str, ...], bool]:
        texts = [token.text for token in self._tokens[:4]]
        for count in (1, 2):
            mark = texts[2 * count - 1 : 2 * count]
            if (
                self._tokens[0:1]
                and self._tokens[0].kind == "variable"
                and mark in ([":="], ["="])
                and (count == 1 or texts[1] == ",")
            ):
                del self._tokens[: 2 * count]
                return tuple(texts[: 2 * count - 1 : 2]), mark == [":="]
        return (), False

    def _command(self) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while self._tokens and self._tokens[0].text not in ("|", ")"):
            operands.append(self._operand())
        if not operands:
            raise template_error("missing value for command")
        return tuple(operands)

    def _operand(self) -> Operand:
        token = self._tokens.pop(0)
        fields: list[str] = []
        if token.kind == "field":
            kind, value = "dot", None
            fields.append(token.text[1:])
        elif token.text == "(":
            kind, value = "pipeline", self._pipeline()
            if not self._tokens or self._tokens.pop(0).text != ")":
                raise template_error("unclosed left paren")
        else:
            kind, value = _simple(token)
        while self._tokens and self._tokens[0].kind == "field" and self._tokens[0].glued:
            fields.append(self._tokens.pop(0).text[1:])
        return Operand(kind, value, tuple(fields))


def _simple(token: Token) -> tuple[str, Any]:
    """Return kind and value of an operand that is one token."""
    if token.kind == "string":
        return "literal", token.text[1:-1] if token.text[0] == "`" else _unescaped(token.text)
    if token.kind == "number":
        return "literal", float(token.text) if "." in token.text else int(token.text)
    if token.kind in ("dot", "variable"):
        return token.kind, token.text
    if token.text in ("true", "false", "nil"):
        return "literal", {"true": True, "false": False, "nil": None}[token.text]
    if token.kind == "word":
        return "function", token.text
    raise template_error(f"unexpected {token.text!r} in operand")


def _unescaped(literal: str) -> str:
    import json

    try:
        return str(json.loads(literal))
    except ValueError:
        raise template_error(f"invalid string {literal}") from None


class _Break(Exception):
    """`break`."""


class _Continue(Exception):
    """`continue`."""


class Template:
    """A parsed template, to be run on any number of values."""

    def __init__(self, text: str) -> None:
        """Parse `text`. Raises `InvalidInput`."""
        from cli.gotemplate_functions import FUNCTIONS, go_text, is_true

        self._nodes = parse(text)
        self._functions: Mapping[str, Callable[..., Any]] = FUNCTIONS
        self._text, self._is_true = go_text, is_true

    def render(self, value: Any) -> str:
        """Return the text for a JSON value. Raises `InvalidInput` where the template does not fit it."""
        return "".join(self._run(self._nodes, value, {"$": value}))

    def _run(self, nodes: tuple[Node, ...], dot: Any, variables: dict[str, Any]) -> Iterator[str]:
        for node in nodes:
            if node.kind == "text":
                yield node.text
            elif node.kind == "break":
                raise _Break
            elif node.kind == "continue":
                raise _Continue
            else:
                assert node.pipeline is not None
                yield from self._run_action(node, node.pipeline, dot, variables)

    def _run_action(self, node: Node, pipeline: Pipeline, dot: Any, variables: dict[str, Any]) -> Iterator[str]:
        value = self._value(pipeline, dot, variables)
        inner = variables if node.kind == "print" else dict(variables)
        if node.kind == "range":
            yield from self._run_range(node, pipeline, value, dot, variables)
            return
        for name in pipeline.variables:
            inner[name] = value
        if node.kind == "print":
            if not pipeline.variables:
                yield self._text(value)
        elif self._is_true(value):
            yield from self._run(node.body, value if node.kind == "with" else dot, inner)
        else:
            yield from self._run(node.otherwise, dot, inner)

    def _run_range(self, node: Node, pipeline: Pipeline, value: Any, dot: Any, variables: dict[str, Any]) -> Iterator[str]:
        if isinstance(value, Mapping):
            items = [(key, value[key]) for key in sorted(value)]
        elif isinstance(value, list | tuple):
            items = list(enumerate(value))
        elif isinstance(value, int) and not isinstance(value, bool):
            items = list(enumerate(range(value)))
        elif value is None:
            items = []
        else:
            raise template_error(f"range can't iterate over {self._text(value)}")
        if not items:
            yield from self._run(node.otherwise, dot, dict(variables))
        for key, item in items:
            inner = dict(variables)
            inner.update(zip(pipeline.variables, (key, item)[-len(pipeline.variables) :], strict=False))
            output: list[str] = []
            try:
                output.extend(self._run(node.body, item, inner))
            except _Continue:
                pass
            except _Break:
                yield from output
                return
            yield from output

    def _value(self, pipeline: Pipeline, dot: Any, variables: dict[str, Any]) -> Any:
        piped: tuple[Any, ...] = ()
        for command in pipeline.commands:
            piped = (self._call(command, piped, dot, variables),)
        return piped[0]

    def _call(self, command: tuple[Operand, ...], piped: tuple[Any, ...], dot: Any, variables: dict[str, Any]) -> Any:
        first, *rest = command
        arguments = (*(self._operand_value(operand, dot, variables) for operand in rest), *piped)
        value = self._operand_value(first, dot, variables)
        if callable(value):
            try:
                return value(*arguments)
            except (TypeError, ValueError, LookupError) as error:
                raise template_error(f"error calling {first.value or '.'.join(first.fields)}: {error}") from error
        if arguments:
            raise template_error(f"can't give argument to non-function {first.value or '.' + '.'.join(first.fields)}")
        return value

    def _operand_value(self, operand: Operand, dot: Any, variables: dict[str, Any]) -> Any:
        if operand.kind == "dot":
            value = dot
        elif operand.kind == "variable":
            if operand.value not in variables:
                raise template_error(f'undefined variable "{operand.value}"')
            value = variables[operand.value]
        elif operand.kind == "function":
            if operand.value not in self._functions:
                raise template_error(f'function "{operand.value}" not defined')
            value = self._functions[operand.value]
        else:
            value = self._value(operand.value, dot, variables) if operand.kind == "pipeline" else operand.value
        for field in operand.fields:
            value = _field(value, field)
        return value


def _field(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        if name in value:
            return value[name]
        raise template_error(f'map has no entry for key "{name}"')
    if value is None:
        raise template_error(f"nil pointer evaluating .{name}")
    raise template_error(f"can't evaluate field {name} in a value that has no fields")
