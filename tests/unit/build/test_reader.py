"""Reading Dockerfiles."""

import pytest

from rootless.build.reader import expand, read, words
from rootless.errors import InvalidInput


def test_lines_continue_and_comments_go() -> None:
    found = read("# escape=`\nFROM a`\n# no\n  AS b\n\nrun --mount=type=x --network=none echo \\\n")
    assert [(one.name, one.flags, one.text, one.line) for one in found] == [
        ("FROM", {}, "a  AS b", 2),
        ("RUN", {"mount": "type=x", "network": "none"}, "echo \\", 6),
    ]


def test_an_empty_file_and_a_here_document_are_refused() -> None:
    for text in ("", "# only\n", "RUN <<EOF\nx\nEOF\n"):
        with pytest.raises(InvalidInput):
            read(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$A-${A}", "1-1"), ("'$A'", "$A"), ('"$A b"', "1 b"), (r"\$A", "$A"), ("${B:-x}", "x"), ("${B-x}", ""), ("${C-x}", "x"),
        ("${A:+y}", "y"), ("${B:+y}", ""), ("${C:-$A}", "1"), ("$C", ""), ("a b", "a b"),
        ("${A:+${C:-z}}", "z"), ("${A/1/2}", "2"), ("a${A%1}", "a"),
    ],
)  # fmt: skip
def test_variables(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": ""}) == expected


def test_an_error_shows_the_lines_around_it() -> None:
    with pytest.raises(InvalidInput) as caught:
        read("FROM a\nCMD [1]\n", "Containerfile")
    assert "Containerfile:2\n" in caught.value.message
    assert "\n   2 | >>> CMD [1]\n" in caught.value.message
    with pytest.raises(InvalidInput, match="not allowed to be unset"):
        expand("${A?}", {})


def test_words_keep_their_quotes() -> None:
    assert words("A=\"b c\" 'd e' f\\ g") == ['A="b c"', "'d e'", "f\\ g"]
    with pytest.raises(InvalidInput):
        expand('"a', {})
