"""Times as Docker writes them: RFC 3339, UTC, nine digits of a second."""

import time


def now() -> str:
    """Return the current time, for example 2026-01-31T12:00:00.123456789Z."""
    nanoseconds = time.time_ns()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(nanoseconds // 10**9))}.{nanoseconds % 10**9:09d}Z"
