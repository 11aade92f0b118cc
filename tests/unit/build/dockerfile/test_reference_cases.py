"""BuildKit's own cases: Dockerfiles with their parse, broken ones, tables of variable and word expansion."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless.build.dockerfile.errors import DockerfileError, ExpansionError
from rootless.build.dockerfile.expansion import expand, expand_words
from rootless.build.dockerfile.nodes import Node, read

FOLDER = Path(__file__).parents[5] / "shared" / "reference" / "dockerfile-parser"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="../shared is absent")
NAMES = sorted(path.parent.name for path in FOLDER.glob("parser/testfiles/*/result"))
BROKEN = sorted(path.parent.name for path in FOLDER.glob("parser/testfiles-negative/*/Dockerfile"))


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\\u00", "\\x")


def dump(node: Node) -> str:
    parts = [node.keyword.lower()]
    if node.flags:
        parts[0] += " [" + " ".join(map(quoted, node.flags)) + "]"
    if node.child is not None:
        parts.append(f"({dump(node.child)})")
    return " ".join([*parts, *map(quoted, node.arguments)])


@pytest.mark.parametrize("name", NAMES)
def test_parse(name: str) -> None:
    folder = FOLDER / "parser" / "testfiles" / name
    nodes = read((folder / "Dockerfile").read_bytes().decode(), "Dockerfile").nodes
    assert [f"({dump(node)})" for node in nodes] == (folder / "result").read_text().strip().split("\n")


@pytest.mark.parametrize("name", BROKEN)
def test_broken(name: str) -> None:
    with pytest.raises(DockerfileError):
        read((FOLDER / "parser" / "testfiles-negative" / name / "Dockerfile").read_text(), "Dockerfile")


def table(name: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate((FOLDER / "shell" / name).read_text().splitlines(), 1):
        if line and not line.startswith("#"):
            yield number, line


def test_variables() -> None:
    variables = {"PWD": "/home", "SHELL": "bash", "KOREAN": "한국어", "NULL": ""}
    wrong = []
    for number, line in table("envVarTest"):
        platform, source, expected = (part.strip() for part in line.split("|"))
        if platform == "W":  # Windows, whose variables have no case
            continue
        try:
            found = expand(source, variables.get)
        except ExpansionError:
            found = "error"
        if found != expected:
            wrong.append((number, source, expected, found))
    assert wrong == []


def test_words() -> None:
    variables: dict[str, str] = {}
    wrong = []
    for number, line in table("wordsTest"):
        if line.startswith("ENV "):
            key, _, value = line.removeprefix("ENV ").lstrip().partition("=")
            variables[key] = value
            continue
        source, _, expected = line.rpartition("|")
        try:
            found = ",".join(expand_words(source.strip(), variables.get))
        except ExpansionError:
            found = "error"
        if found != expected.lstrip(" "):
            wrong.append((number, source, expected, found))
    assert wrong == []
