from typing import Any

import pytest

from rootless.errors import InvalidInput, NoSuchObject
from rootless.images import media_types, platform
from rootless.images.platform import Platform


def index(*platforms: dict[str, str]) -> dict[str, Any]:
    return {
        "manifests": [
            {"mediaType": media_types.OCI_MANIFEST, "digest": f"sha256:{number:064x}", "size": 1, "platform": offered}
            for number, offered in enumerate(platforms)
        ]
    }


def chosen(document: dict[str, Any], wanted: Platform) -> int:
    return int(platform.choose(document, wanted).digest[7:], 16)


ARM = index(
    {"os": "linux", "architecture": "arm", "variant": "v5"},
    {"os": "linux", "architecture": "arm", "variant": "v7"},
    {"os": "linux", "architecture": "arm64", "variant": "v8"},
    {"os": "linux", "architecture": "amd64"},
    {"os": "unknown", "architecture": "unknown"},
)


@pytest.mark.parametrize(
    ("machine", "number"), [("x86_64", 3), ("aarch64", 2), ("armv7l", 1), ("armv6l", 0)]
)
def test_the_best_variant_that_runs_is_chosen(machine: str, number: int) -> None:
    assert chosen(ARM, platform.of_machine(machine)) == number


def test_without_variant_in_the_index() -> None:
    assert chosen(index({"os": "linux", "architecture": "arm64"}), platform.of_machine("aarch64")) == 0


def test_what_there_is_is_named() -> None:
    with pytest.raises(NoSuchObject) as failure:
        platform.choose(ARM, Platform("linux", "s390x"))
    assert failure.value.hint is not None
    assert "linux/arm/v5, linux/arm/v7, linux/arm64/v8, linux/amd64;" in failure.value.hint


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("linux/amd64", Platform("linux", "amd64")),
        ("linux/arm/v7", Platform("linux", "arm", "v7")),
        ("ARM64", Platform("linux", "arm64")),
        ("linux/x86_64", Platform("linux", "amd64")),
    ],
)
def test_platforms_are_read(text: str, wanted: Platform) -> None:
    assert platform.parse(text) == wanted


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d"])
def test_malformed_platforms(text: str) -> None:
    with pytest.raises(InvalidInput):
        platform.parse(text)
