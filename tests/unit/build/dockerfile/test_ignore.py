"""Patterns as Go's filepath.Match and moby's patternmatcher have them; the cases are those rules'."""

import pytest

from rootless.build.dockerfile.ignore import Ignored, compiled, read_ignored
from rootless.errors import InvalidInput


@pytest.mark.parametrize(
    ("patterns", "path", "is_left_out"),
    [
        (["**"], "file", True), (["**/"], "dir/file", True), (["**"], "dir/file", True), (["**/**"], "dir/file", True),
        (["dir/**"], "dir/file", True), (["dir/**"], "dir/dir2/file", True), (["dir/**"], "dir", False),
        (["**/dir2/*"], "dir/dir2/file", True), (["**/dir2/**"], "dir/dir2/dir2/file", True), (["**file"], "dir/file", True),
        (["**/file"], "file", True), (["**/file"], "dir/dir/file", True), (["**/file*"], "dir/dir/file.txt", True),
        (["**/file*txt"], "dir/dir/file.txt", True), (["**/**/*.txt"], "dir/dir/file.txt", True),
        (["*"], "dir/file", True), (["a*"], "abc", True), (["a*"], "bca", False), (["?"], "a", True), (["??"], "a", False),
        (["dir"], "dir/file", True), (["di"], "dir/file", False), (["/dir/"], "dir/file", True), (["./a/../dir"], "dir/x", True),
        (["a(b)c.d$"], "a(b)c.d$", True), (["a.c"], "abc", False), (["[a-c]x"], "bx", True), (["[^a-c]x"], "bx", False),
        (["[^a-c]x"], "dx", True), (["\\*x"], "*x", True), (["\\*x"], "ax", False), (["a[^b]c"], "a/c", False),
        (["docs", "!docs/README.md"], "docs/README.md", False), (["docs", "!docs/README.md"], "docs/other", True),
        (["*.md", "!README*.md", "README-secret.md"], "README-secret.md", True), (["*.md", "!README*.md"], "README.md", False),
        (["*", "!src"], "src/a/b", False), (["!x", "*"], "x", True), (["**/*.go", "!**/main.go"], "a/main.go", False),
    ],
)  # fmt: skip
def test_what_is_left_out(patterns: list[str], path: str, is_left_out: bool) -> None:
    assert read_ignored("\n".join(patterns), ".dockerignore").has(path) is is_left_out


def test_comments_and_blanks_are_no_patterns() -> None:
    found = read_ignored("\ufeff# a\n\n  b  \n#c\n! d\n", ".dockerignore")
    assert found.patterns == ("b", "!d")


def test_a_folder_is_entered_when_something_may_be_taken_back_in() -> None:
    ignored = Ignored(["a", "x", "!a/b/c", "!x*/y"])
    assert ignored.may_have_others_below("a")
    assert ignored.may_have_others_below("a/b")
    assert ignored.may_have_others_below("x")
    assert not Ignored(["a", "!b/c"]).may_have_others_below("a")


@pytest.mark.parametrize("pattern", ["[", "[a", "a[]b", "[-]", "[x-]", "a\\", "[z-a]"])
def test_malformed_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        compiled(pattern)
    with pytest.raises(InvalidInput, match=r"error from \.dockerignore"):
        read_ignored("!", ".dockerignore")
