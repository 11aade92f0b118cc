"""Verbs that take several containers: each is tried, errors are told, and one failure makes the exit status 1, as in Docker."""

import os
import sys
from collections.abc import Callable, Iterable

from cli.complaints import complain
from cli.tables import emit
from rootless.errors import RlError, text_of

FAILED = 1


def for_each(names: Iterable[str], action: Callable[[str], str | None]) -> int:
    """Call `action` with each name and print what it returns, if anything; returns the exit status."""
    status = 0
    for name in names:
        try:
            text = action(name)
        except (RlError, OSError) as error:
            status = report(error)
        else:
            if text is not None:
                emit(text)
                sys.stdout.flush()  # a script may wait for the first while the second takes long
    return status


def warn(error: RlError) -> None:
    """Tell of something that is left out of a list, on standard error."""
    complain(error.message, error.hint, kind="warning")


def report(error: RlError | OSError) -> int:
    """Print an error and its hint to standard error; returns the exit status. With --debug it is raised instead."""
    if isinstance(error, BrokenPipeError) or os.environ.get("RL_DEBUG"):
        raise error
    sys.stdout.flush()
    text = text_of(error)
    complain(text, error.hint if isinstance(error, RlError) else None)
    return FAILED
