"""HEALTHCHECK becomes the image's Healthcheck."""

import pytest

from rootless.build.healthcheck import parse
from rootless.errors import InvalidInput


def test_a_check_with_times_and_without() -> None:
    flags = {"interval": "1m30s", "timeout": "1.5s", "retries": "2"}
    assert parse("CMD true", flags, []) == {
        "Test": ["CMD-SHELL", "true"], "Interval": 90 * 10**9, "Timeout": 1_500_000_000, "Retries": 2,
    }  # fmt: skip
    assert parse('cmd ["a"]', {}, ["a"]) == {"Test": ["CMD", "a"]}
    assert parse("NONE", {}, []) == {"Test": ["NONE"]}


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("CMD", {}), ("RUN x", {}), ("NONE x", {}),
        ("CMD x", {"interval": "5"}), ("CMD x", {"timeout": ""}), ("CMD x", {"retries": "-1"}),
    ],
)  # fmt: skip
def test_malformed_ones_are_refused(text: str, flags: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        parse(text, flags, [])
