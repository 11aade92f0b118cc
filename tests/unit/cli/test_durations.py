import time
from collections.abc import Iterator

import pytest

from cli import durations
from cli.durations import NANOSECONDS, human_duration, parse_rfc3339, parse_since
from rootless.errors import InvalidInput

NOW = 1_700_000_000 * NANOSECONDS
MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (0.99, "Less than a second"),
        (1.5, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (59 * MINUTE + 59, "59 minutes"),
        (HOUR, "About an hour"),
        (89 * MINUTE, "About an hour"),
        (90 * MINUTE, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (731 * DAY, "2 years"),
    ],
)
def test_human_duration(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("0001-01-01T00:00:00Z", -62135596800 * NANOSECONDS),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T22:13:20.123456789Z", NOW + 123456789),
        ("2023-11-14T22:13:20.5+00:00", NOW + 500_000_000),
        ("2023-11-15T00:13:20+02:00", NOW),
        ("2023-11-14T17:43:20-04:30", NOW),
        ("2024-02-29T00:00:00Z", 1709164800 * NANOSECONDS),
    ],
)
def test_rfc3339(text: str, expected: int) -> None:
    assert parse_rfc3339(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-02-29T00:00:00Z",
        "2023-13-01T00:00:00Z",
        "2023-11-14T24:00:00Z",
        "٢-1-1T0:0Z",
    ],
)
def test_what_is_not_rfc3339(text: str) -> None:
    with pytest.raises(ValueError, match=r"^"):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("42m", NOW - 42 * MINUTE * NANOSECONDS),
        ("1h30m", NOW - 90 * MINUTE * NANOSECONDS),
        ("1.5h", NOW - 90 * MINUTE * NANOSECONDS),
        ("-10s", NOW + 10 * NANOSECONDS),
        ("300ms", NOW - 300_000_000),
        ("1136073600", 1136073600 * NANOSECONDS),
        ("1136073600.000000001", 1136073600 * NANOSECONDS + 1),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T23:13:20", NOW),  # local
        ("2023-11-14T23:13", NOW - 20 * NANOSECONDS),
        ("2023-07-01", 1688162400 * NANOSECONDS),  # summer time
    ],
)
@pytest.mark.usefixtures("berlin")
def test_since(text: str, expected: int) -> None:
    assert parse_since(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "m", "5x", "1h30", "yesterday", "2023-99-99", "1e5", "--5m", "5.5.5s"])
def test_invalid_times(text: str) -> None:
    with pytest.raises(InvalidInput, match="invalid time"):
        parse_since(text, NOW)


@pytest.mark.usefixtures("berlin")
def test_created_at() -> None:
    assert durations.created_at("2023-07-01T12:00:00.5Z") == "2023-07-01 14:00:00 +0200 CEST"
    assert durations.ago("2023-11-14T22:13:20Z", 1_700_000_000 + 120) == "2 minutes ago"
    assert durations.ago("2023-11-14T22:13:20Z", 1_699_999_000) == "Less than a second ago"
