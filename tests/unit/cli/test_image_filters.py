"""Patterns and labels of `--filter`."""

import pytest

from cli.image_filters import OF_IMAGES, OF_PRUNE, fits_reference, has_label, parse_filters
from cli.image_rows import ImageName, names_of
from rootless.errors import InvalidInput
from rootless.images.listing import ListedImage

IMAGE = ListedImage("sha256:" + "a" * 64, (), (), 1, "", ({},))


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ("alpine", True),
        ("alpine:3.20", True),
        ("alpine:3.*", True),
        ("al*", True),
        ("*:3.2?", True),
        ("[a-c]lpine", True),
        ("[^b]lpine", True),
        ("alpine\\:3.20", True),
        ("lpine", False),
        ("*/alpine", False),
        ("alpine:4*", False),
        ("[^a]lpine", False),
    ],
)
def test_references(pattern: str, fits: bool) -> None:
    assert fits_reference(pattern, ImageName("alpine", "3.20", "<none>", IMAGE)) is fits


def test_a_star_stops_at_a_slash() -> None:
    name = ImageName("reg.example.org/group/app", "1", "<none>", IMAGE)
    assert not fits_reference("reg.example.org/*", name)
    assert fits_reference("reg.example.org/*/a*", name)


def test_keys_and_values() -> None:
    assert parse_filters(["label=a=b", "label!=c", "until=1h"], OF_PRUNE) == {"label": ["a=b"], "label!": ["c"], "until": ["1h"]}
    for text in ("dangling=true", "label", "x=y"):
        with pytest.raises(InvalidInput):
            parse_filters([text], OF_PRUNE)
    assert parse_filters(["dangling=true"], OF_IMAGES) == {"dangling": ["true"]}
    assert has_label({"a": "b"}, "a")
    assert has_label({"a": "b"}, "a=b")
    assert not has_label({"a": "b"}, "a=c")


def test_rows_of_names_and_digests() -> None:
    digest = f"sha256:{'d' * 64}"
    named = IMAGE._replace(names=("docker.io/library/a:1", "q.io/b:2"), repo_digests=(f"q.io/b@{digest}",))
    assert [row[:3] for row in names_of([named])] == [("a", "1", "<none>"), ("q.io/b", "2", digest)]
    loose = IMAGE._replace(repo_digests=(f"q.io/b@{digest}",))
    assert [row[:3] for row in names_of([loose, IMAGE])] == [("q.io/b", "<none>", digest), ("<none>", "<none>", "<none>")]


@pytest.mark.parametrize("pattern", ["[", "alpine[a-", "alpine\\", "[]"])
def test_broken_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(InvalidInput, match="invalid filter 'reference="):
        fits_reference(pattern, ImageName("alpine", "3.20", "<none>", IMAGE))
