"""Directives, continued lines, here-documents, errors with their place, and hostile texts."""

import json
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.build.dockerfile.errors import DockerfileError, ExpansionError
from rootless.build.dockerfile.expansion import expand
from rootless.build.dockerfile.nodes import read
from rootless.errors import RlError

LONG = 1 << 20


T = TypeVar("T")


def outcome(call: Callable[[], T]) -> T | RlError:
    try:
        return call()
    except (DockerfileError, ExpansionError) as error:
        return error


def test_a_broken_line_is_shown_with_those_around_it() -> None:
    with pytest.raises(DockerfileError) as caught:
        read("FROM a\nRUN x\nENV lonely\nRUN y\nRUN z\nRUN w\n", "Dockerfile")
    assert caught.value.reason == "ENV must have two arguments"
    assert caught.value.location == ("Dockerfile", 3, 3)
    assert caught.value.excerpt == (
        "Dockerfile:3\n--------------------\n   1 |     FROM a\n   2 |     RUN x\n   3 | >>> ENV lonely\n"
        "   4 |     RUN y\n   5 |     RUN z\n--------------------\n"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("# escape=`\n# escape=`\nFROM a", "only one escape parser directive can be used"),
        ("# escape=x\nFROM a", "invalid escape token 'x' does not match ` or \\"),
        ("RUN <<EOF\nx\n", "unterminated heredoc"),
        ("CMD [1]", "when using JSON array syntax, arrays must be comprised of strings only"),
        ("ENV a=1 b", "Syntax error - can't find = in 'b'. Must be of the form: name=value"),
        ("# only this", "file with no instructions"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        read(text, "Dockerfile")
    assert caught.value.reason == reason


def test_directives_end_at_the_first_other_line() -> None:
    source = read("# syntax=docker/dockerfile:1\n# escape=`\n# check=skip=all\nFROM a `\n  b\n# escape=\\\n", "Dockerfile")
    assert {name: (found.value, found.line) for name, found in source.directives.items()} == {
        "syntax": ("docker/dockerfile:1", 1),
        "escape": ("`", 2),
        "check": ("skip=all", 3),
    }
    assert source.nodes[0].arguments == ["a", "b"]
    assert read("FROM a\n# escape=`\nRUN x `\n", "Dockerfile").escape == "\\"


def test_heredocs() -> None:
    text = "RUN <<A cat <<-'B' 3<<\"C D\"\none $x\nA\n\ttwo\n\tB\n\\\nC D\nCOPY [\"<<X\", \"/\"]\n"
    run, copy = read(text, "Dockerfile").nodes
    assert [(each.name, each.content, each.expand, each.chomp, each.descriptor) for each in run.heredocs] == [
        ("A", "one $x\n", True, False, 0),
        ("B", "\ttwo\n", False, True, 0),
        ("C D", "\\\n", False, False, 3),
    ]
    assert run.heredocs[1].text == "two\n"
    assert (run.first_line, run.last_line) == (1, 7)
    assert copy.heredocs == []


def test_a_continuation_over_an_empty_line_is_noted() -> None:
    source = read("RUN a \\\n# comment\n\n b\n", "Dockerfile")
    assert source.nodes[0].arguments == ["a  b"]
    assert source.empty_continuations == [4]


@pytest.mark.parametrize(
    "text",
    [
        "RUN " + "x " * (LONG // 2),
        "ENV " + "a=b " * (LONG // 4),
        "COPY " + "'" + "x" * LONG,
        "ONBUILD " * (LONG // 8),
        "CMD " + "[" * LONG,
        "CMD [" + "9" * LONG + "]",
        "RUN a \\\n" * (LONG // 8),
    ],
)
def test_a_megabyte_is_read_or_refused(text: str) -> None:
    found = outcome(lambda: read(text, "Dockerfile").nodes)
    assert len(found.message) < 10_000 if isinstance(found, RlError) else len(found) == 1


@pytest.mark.parametrize("word", ["$" * LONG, "${a:-" * (LONG // 5), "x" * LONG, "$a" * (LONG // 2)])
def test_a_word_of_a_megabyte_is_expanded_or_refused(word: str) -> None:
    found = outcome(lambda: expand(word, {"a": "b"}.get))
    assert "nested more than 100 deep" in found.message if isinstance(found, RlError) else len(found) <= LONG


PIECES = [
    *("FROM ", "RUN ", "COPY ", "ENV ", "ONBUILD ", "<<", "<<-", "EOF"),
    *("'", '"', "\\", "\n", "#", " escape=`", "=", "$", "{", "}", "[", "]", "--", " "),
]


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=40).map("".join))
def test_any_text_is_read_or_refused(text: str) -> None:
    found = outcome(lambda: read(text, "Dockerfile").nodes)
    if isinstance(found, RlError):
        assert found.message.encode()  # nothing that cannot be written
    else:
        assert all(1 <= node.first_line <= node.last_line for node in found)


@given(st.lists(st.sampled_from([*PIECES, "a", ":-", "##", "%", "/", "*", "?", ":?"]), max_size=30).map("".join))
def test_any_word_is_expanded_or_refused(word: str) -> None:
    found = outcome(lambda: expand(word, {"a": "bb/a"}.get))
    assert found.message if isinstance(found, RlError) else isinstance(found, str)


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1)))
def test_json_words_are_kept(arguments: list[str]) -> None:
    node = read(f"CMD {json.dumps(arguments)}", "Dockerfile").nodes[0]
    assert (node.arguments, node.json) == (arguments, True)
