"""Times as Docker writes them: RFC 3339, UTC, nine digits of a second."""

import time


def now() -> str:
    """Return the current time, for example 2026-01-31T12:00:00.123456789Z."""
    return rfc3339(time.time_ns())


def rfc3339(nanoseconds: int) -> str:
    """Return a time since the epoch in the same form."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(nanoseconds // 10**9))}.{nanoseconds % 10**9:09d}Z"
