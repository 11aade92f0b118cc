"""Durations as Go reads and writes them: `300ms`, `1.5h`, `-2m30s` (pkg.go.dev/time, ParseDuration)."""

from typing import Final

NANOSECONDS: Final = 10**9

_UNITS: Final = {"h": 3600 * NANOSECONDS, "m": 60 * NANOSECONDS, "s": NANOSECONDS, "ms": 10**6, "us": 1000, "µs": 1000, "ns": 1}
_LONGEST: Final = 60  # characters


def go_duration(text: str) -> int | None:
    """Return a duration in nanoseconds, or None where the text is none."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text)
    if not rest or not rest[-1].isalpha() or len(rest) > _LONGEST:
        return None
    total = 0.0
    while rest:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(digits) :]
        unit = rest[: len(rest) - len(rest.lstrip("hmsnuµ"))]
        rest = rest[len(unit) :]
        try:
            total += float(digits) * _UNITS[unit]
        except (ValueError, KeyError):
            return None
    return sign * int(total)
