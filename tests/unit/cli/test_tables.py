import pytest

from cli.tables import ellipsis, printable, quoted, table


def test_columns_as_dockers() -> None:
    assert table([["CONTAINER ID", "IMAGE", "NAMES"], ["0123456789ab", "busybox", "one"]]).split("\n") == [
        "CONTAINER ID   IMAGE     NAMES",
        "0123456789ab   busybox   one",
    ]
    assert table([]) == ""
    assert table([["A"], ["a long last column"]]) == "A\na long last column"
    assert table([["A", "B"], ["日本", "x"], ["e\u0301", "y"]]).split("\n") == ["A         B", "日本      x", "e\u0301         y"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 日", "plain ü 日"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\r\t\x7f\x9b", "a\\x0ab\\x0d\\x09\\x7f\\x9b"),
        ("\u202eevil\u200b", "\\u202eevil\\u200b"),
        ("\udcff", "\\udcff"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_nothing_reaches_the_terminal_raw(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(text).isprintable()
    assert table([[text, "x"]]).isprintable()


def test_quoted_as_go() -> None:
    assert quoted('sh -c "a\\b"\n\x1b') == '"sh -c \\"a\\\\b\\"\\n\\x1b"'


@pytest.mark.parametrize(("text", "cut"), [("x" * 20, "x" * 20), ("x" * 21, "x" * 19 + "…"), ("日" * 11, "日" * 9 + "…"), ("", "")])
def test_ellipsis(text: str, cut: str) -> None:
    assert ellipsis(text, 20) == cut
