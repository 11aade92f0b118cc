"""What is a transport and what a plain name."""

import pytest

from rootless.errors import InvalidInput
from rootless.images.transports import Transport, parse, plain_name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alpine", None),
        ("alpine:3", None),
        ("localhost:5000/a:1", None),
        ("ocicrypt:1", None),
        ("docker:dind", None),
        ("docker://alpine:3", Transport("docker", "alpine:3", None)),
        ("oci:/a/b", Transport("oci", "/a/b", None)),
        ("oci:a:x/y:1", Transport("oci", "a", "x/y:1")),
        ("oci-archive:a.tar:", Transport("oci-archive", "a.tar", None)),
        ("docker-archive:a.tar:@1", Transport("docker-archive", "a.tar", "@1")),
        ("dir:/a:b", Transport("dir", "/a:b", None)),
    ],
)
def test_parse(text: str, expected: Transport | None) -> None:
    assert parse(text) == expected
    if expected is not None and not expected.is_registry:
        assert parse(str(expected)) == expected


@pytest.mark.parametrize("text", ["oci:", "dir:", "docker-archive::x", "docker-daemon:x", "containers-storage:x"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"no path|not supported"):
        parse(text)


def test_plain_name() -> None:
    assert (plain_name("docker://a/b"), plain_name("a/b")) == ("a/b", "a/b")
