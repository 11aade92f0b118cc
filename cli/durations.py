"""Times and durations as Docker reads and writes them, without `datetime`, which costs `rl ps` 2 ms."""

import time

from rootless.durations import NANOSECONDS, go_duration
from rootless.errors import InvalidInput


def human_duration(seconds: float) -> str:
    """Return a length of time in Docker's words: `About a minute`, `3 hours` (docker/go-units, HumanDuration)."""
    whole = int(seconds)
    minutes, hours = whole // 60, int(seconds / 3600 + 0.5)
    words = (
        (whole < 1, "Less than a second"),
        (whole == 1, "1 second"),
        (whole < 60, f"{whole} seconds"),
        (minutes == 1, "About a minute"),
        (minutes < 60, f"{minutes} minutes"),
        (hours == 1, "About an hour"),
        (hours < 48, f"{hours} hours"),
        (hours < 24 * 7 * 2, f"{hours // 24} days"),
        (hours < 24 * 30 * 2, f"{hours // 24 // 7} weeks"),
        (hours < 24 * 365 * 2, f"{hours // 24 // 30} months"),
    )
    return next((text for holds, text in words if holds), f"{whole // 3600 // 24 // 365} years")


def ago(rfc3339: str, now: float) -> str:
    """Return how long ago a time was: `2 minutes ago`. `now` is seconds since the epoch."""
    return f"{human_duration(max(0.0, now - parse_rfc3339(rfc3339) / NANOSECONDS))} ago"


def parse_rfc3339(text: str) -> int:
    """Return the nanoseconds since the epoch of `2026-01-31T12:00:00.123456789Z`, with any offset. Raises `ValueError`."""
    date, _, clock = text.replace("t", "T", 1).partition("T")
    seconds = _days(date) * 86400
    zone = max(clock.rfind("+"), clock.rfind("-"))
    if clock[-1:] in ("Z", "z"):
        clock = clock[:-1]
    elif zone > 0:
        hours, minutes = clock[zone + 1 :].split(":")
        offset = _number(hours, 2) * 3600 + _number(minutes, 2) * 60
        seconds -= offset if clock[zone] == "+" else -offset
        clock = clock[:zone]
    else:
        raise ValueError(f"no time zone in {text!r}")
    return seconds * NANOSECONDS + _time_of_day(clock)


def parse_since(text: str, now: int) -> int:
    """Return the nanoseconds since the epoch that `--since` and `--until` mean; `now` is the same.

    Taken are RFC 3339, the same without zone (local time), seconds or time, seconds since the epoch, and a Go duration such
    as `1h30m`, which is so long ago. Raises `InvalidInput`.
    """
    duration = go_duration(text)
    if duration is not None:
        return now - duration
    whole, _, fraction = text.partition(".")
    try:
        if whole.isascii() and whole.isdigit():
            return int(whole) * NANOSECONDS + _fraction(fraction)
        date, separator, clock = text.partition("T")
        if not separator:
            return _local(text, "00:00:00")
        if clock[-1:] in ("Z", "z") or "+" in clock or "-" in clock:
            return parse_rfc3339(text)
        return _local(date, clock)
    except ValueError:
        raise InvalidInput(
            f'invalid time: "{text}"', "give a time such as 2026-01-31T12:00:00Z, or how long ago: 42m, 1h30m"
        ) from None


def parse_duration(text: str, option: str) -> int:
    """Return the nanoseconds of a Go duration such as 1m30s. Raises `InvalidInput` naming the option."""
    duration = 0 if text == "0" else go_duration(text)
    if duration is None:
        raise InvalidInput(f'invalid argument "{text}" for {option}: not a duration', "give a time such as 30s or 1m30s")
    return duration


def created_at(rfc3339: str) -> str:
    """Return a time as the column CreatedAt has it: `2026-01-31 12:00:00 +0000 UTC`, in the local time zone."""
    local = time.localtime(parse_rfc3339(rfc3339) // NANOSECONDS)
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", local)


def _local(date: str, clock: str) -> int:
    nanoseconds = _time_of_day(clock)
    seconds = _days(date) * 86400 + nanoseconds // NANOSECONDS
    broken_down = time.gmtime(seconds)
    local = time.mktime((*broken_down[:8], -1))
    return int(local) * NANOSECONDS + nanoseconds % NANOSECONDS


def _days(date: str) -> int:
    """Return the days from 1970-01-01 to a date of the Gregorian calendar."""
    year, month, day = (_number(part, size) for part, size in zip(date.split("-", 2), (4, 2, 2), strict=True))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    lengths = (31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
    if not 1 <= month <= 12 or not 1 <= day <= lengths[month - 1]:
        raise ValueError(date)
    before = year - 1
    return before * 365 + before // 4 - before // 100 + before // 400 + sum(lengths[: month - 1]) + day - 719163


def _time_of_day(clock: str) -> int:
    whole, _, fraction = clock.partition(".")
    parts = [_number(part, 2) for part in whole.split(":")]
    if not 2 <= len(parts) <= 3 or parts[0] > 23 or parts[1] > 59 or parts[2:] > [60]:
        raise ValueError(clock)
    hours, minutes, seconds = (*parts, 0)[:3]
    return (hours * 3600 + minutes * 60 + seconds) * NANOSECONDS + _fraction(fraction)


def _fraction(digits: str) -> int:
    return _number(digits[:9].ljust(9, "0"), 9) if digits else 0


def _number(digits: str, size: int) -> int:
    if len(digits) != size or not (digits.isascii() and digits.isdigit()):
        raise ValueError(digits)
    return int(digits)
