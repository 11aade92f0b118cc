"""Asking before something is removed, as Docker's prune verbs do."""

import sys

from cli.tables import emit
from rootless.errors import RlError


class Cancelled(RlError):
    """The user did not say yes."""

    exit_status = 1


def confirm(warning: str, verb: str) -> None:
    """Show a warning and read a line from standard input. Raises `Cancelled` for any but `y` and `yes`, and at its end."""
    sys.stdout.write(f"{warning}\nAre you sure you want to continue? [y/N] ")
    sys.stdout.flush()
    if sys.stdin is None or sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        emit("")
        raise Cancelled(f"{verb} has been cancelled", "answer y, or use --force to not be asked")
