import pytest

from cli import detach_keys
from cli.detach_keys import DetachScanner
from rootless.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", b""),
        (detach_keys.DEFAULT, b"\x10\x11"),
        ("ctrl-a", b"\x01"),
        ("CTRL-Z,x", b"\x1ax"),
        ("a,b,c", b"abc"),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_,DEL", b"\x00\x1b\x1c\x1d\x1e\x1f\x7f"),
    ],
)
def test_parse(text: str, expected: bytes) -> None:
    assert detach_keys.parse(text) == expected


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ctrl-pq", "ab", "a,", ",", "é", "ctrl-p ctrl-q", "del"])
def test_invalid_keys(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid detach keys"):
        detach_keys.parse(text)


def pieces(typed: bytes, size: int) -> list[bytes]:
    return [typed[start : start + size] for start in range(0, len(typed), size)]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("sequence", "typed", "passed", "detached"),
    [
        (b"\x10\x11", b"ab\x10\x11cd", b"ab", True),
        (b"\x10\x11", b"ab\x10\x10\x11", b"ab\x10", True),
        (b"\x10\x11", b"\x10x\x11\x10", b"\x10x\x11\x10", False),
        (b"aab", b"aaaab", b"aa", True),
        (b"abab", b"abaabab", b"aba", True),
        (b"q", b"xxq", b"xx", True),
        (b"", b"\x10\x11", b"\x10\x11", False),
    ],
)
def test_scanner(sequence: bytes, typed: bytes, passed: bytes, detached: bool, size: int) -> None:
    scanner = DetachScanner(sequence)
    result = b""
    for piece in pieces(typed, size):
        out, found = scanner.feed(piece)
        result += out
        if found:
            break
    else:
        found = False
        result += scanner.flush()
    assert (result, found) == (passed, detached)
