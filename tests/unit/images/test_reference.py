import pytest

from rootless.errors import InvalidInput
from rootless.images import reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.19", "docker.io/library/alpine:3.19"),
        ("user/app", "docker.io/user/app:latest"),
        ("docker.io/alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/user/app", "docker.io/user/app:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/a/b/c:1", "localhost:5000/a/b/c:1"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("Registry/app", "Registry/app:latest"),
        (f"quay.io/a/b@{DIGEST}", f"quay.io/a/b@{DIGEST}"),
        (f"quay.io/a/b:tag@{DIGEST}", f"quay.io/a/b@{DIGEST}"),
        ("a__b/c-d.e_f--g", "docker.io/a__b/c-d.e_f--g:latest"),
    ],
)
def test_names_mean_what_docker_says(text: str, name: str) -> None:
    assert reference.parse(text).name == name


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "a//b", "/a", "a/", "Alpine", "a:", "a@", "a@sha256:12", f"a@{DIGEST.upper()}", "a b", "a:b c", ".."),
        *("a:" + "x" * 129, "x" * 256, "a" * 64, "a:-x", "é", "a\n", "a\0", "a/../b", "a..b", "_a", "a___b"),
        *("quay.io:x/a", "-.io/a"),
    ],
)
def test_malformed_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid image name"):
        reference.parse(text)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("docker.io/library/alpine:3", "alpine:3"),
        ("docker.io/user/app:1", "user/app:1"),
        ("docker.io/library/a/b:1", "library/a/b:1"),
        ("docker.io/a.b/c:1", "docker.io/a.b/c:1"),
        (f"quay.io/a@{DIGEST}", f"quay.io/a@{DIGEST}"),
    ],
)
def test_familiar_names_are_short_and_mean_the_same(name: str, shown: str) -> None:
    assert reference.familiar_name(name) == shown
    assert reference.parse(shown).name == name


def test_short_names_and_tags_are_told() -> None:
    assert [reference.is_short(text) for text in ("a", "a/b:1", "localhost/a", "a.b/c")] == [True, True, False, False]
    assert [reference.has_tag(text) for text in ("a", "a:1", "h:5000/a", f"a@{DIGEST}")] == [False, True, False, False]
    assert [reference.may_be_id(text) for text in ("abc", "sha256:abc", "xyz", "a" * 65)] == [True, True, False, False]
