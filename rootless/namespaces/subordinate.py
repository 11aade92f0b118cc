"""Subordinate IDs: the ranges that /etc/subuid and /etc/subgid give to a user (subuid(5))."""

import os
from collections.abc import Iterable
from typing import NamedTuple


class SubordinateRange(NamedTuple):
    """`length` IDs of the node from `start` on."""

    start: int
    length: int


def ranges_of(path: str, uid: int, name: str | None) -> tuple[SubordinateRange, ...]:
    """Return the ranges of one user in a subuid or subgid file, whose lines are `name or UID:start:length`.

    A missing file has no ranges. Malformed lines belong to nobody, as for newuidmap(1).
    """
    try:
        with open(path, "rb") as file:
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ()
    owners = {str(uid)} | ({name} if name else set())
    return tuple(_parse(lines, owners))


def _parse(lines: Iterable[str], owners: set[str]) -> Iterable[SubordinateRange]:
    for line in lines:
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in owners and fields[1].isdecimal() and fields[2].isdecimal():
            length = int(fields[2])
            if length > 0:
                yield SubordinateRange(int(fields[1]), length)


def user_name(uid: int) -> str | None:
    """Return the login name of a user of the node, or None when the user database does not know the UID."""
    import pwd  # loads the node's NSS modules: only where a name is needed

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return os.environ.get("USER")
