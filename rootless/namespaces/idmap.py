"""ID maps of user namespaces (user_namespaces(7)): how they are made, written and read."""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from rootless.errors import NodeLacks
from rootless.namespaces.subordinate import SubordinateRange, ranges_of, user_name

KEEP_ID: Final = "keep-id"
"""The mode of `--userns` in which the user is the same inside (see `custom_maps`); options may follow after a colon."""

NOMAP: Final = "nomap"
"""The mode in which the user is nobody inside."""

AUTO: Final = "auto"
"""The mode in which a container has IDs of its own among the subordinate ones; options may follow after a colon."""

# Above what useradd(8) gives to users and below systemd's dynamic containers: nobody's by default.
_RANGE_OF_ROOT: Final = SubordinateRange(1 << 30, 65536)
_ONE_ID_WARNING: Final = (
    "you have no subordinate IDs in /etc/subuid and /etc/subgid: the container has one user only "
    "(ask the administrator for: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 NAME)"
)
_IDENTITY_WARNING: Final = "no IDs are left for containers here: the container's users are this namespace's own"


def keeps_id(mode: str) -> bool:
    """Tell whether a mode of `--userns` is keep-id."""
    return mode.partition(":")[0] == KEEP_ID


def is_auto(mode: str) -> bool:
    """Tell whether a mode of `--userns` is auto."""
    return mode.partition(":")[0] == AUTO


def has_other_maps(mode: str) -> bool:
    """Tell whether a mode of `--userns` asks for other maps than the default ones."""
    return mode.partition(":")[0] in {KEEP_ID, NOMAP, AUTO}


class MapLine(NamedTuple):
    """`length` IDs: from `inside` on in the namespace, from `outside` on in its parent."""

    inside: int
    outside: int
    length: int


class IdMaps(NamedTuple):
    """The two maps of one user namespace."""

    uids: tuple[MapLine, ...]
    gids: tuple[MapLine, ...]

    @property
    def is_single(self) -> bool:
        """Whether only one ID exists inside: chown to any other fails, and setgroups is denied."""
        return all(sum(line.length for line in lines) == 1 for lines in self)


class DefaultMaps(NamedTuple):
    """The maps of the parent namespace, who can write them, and what the user should know about them."""

    maps: IdMaps
    write: Callable[[int, IdMaps], None]
    warning: str | None


@lru_cache(maxsize=1)
def default_maps(uid: int, gid: int, etc: str = "/etc", proc: str = "/proc") -> DefaultMaps:
    """Return the default maps: 0 is the user, 1 and up the subordinate range.

    Without a range, a user gets one ID. Root gets a fixed high range, written by itself (newuidmap(1) refuses root without an
    entry), or where our own namespace has no room for that, every ID that we have. The files are read once a process.
    """
    name = user_name(uid)
    uid_ranges = ranges_of(f"{etc}/subuid", uid, name)
    gid_ranges = ranges_of(f"{etc}/subgid", uid, name)
    if uid_ranges and gid_ranges:
        return DefaultMaps(IdMaps(_after_root(uid, uid_ranges), _after_root(gid, gid_ranges)), write_by_helpers, None)
    if uid != 0:
        return DefaultMaps(IdMaps((MapLine(0, uid, 1),), (MapLine(0, gid, 1),)), write_by_kernel, _ONE_ID_WARNING)
    own = IdMaps(read_map(f"{proc}/self/uid_map"), read_map(f"{proc}/self/gid_map"))
    if all(any(_has_room(line) for line in lines) for lines in own):
        lines = _after_root(0, (_RANGE_OF_ROOT,))
        return DefaultMaps(IdMaps(lines, lines), write_by_kernel, None)
    return DefaultMaps(identity_of(own), write_by_kernel, _IDENTITY_WARNING)


def _has_room(line: MapLine) -> bool:
    end = _RANGE_OF_ROOT.start + _RANGE_OF_ROOT.length
    return line.inside <= _RANGE_OF_ROOT.start and end <= line.inside + line.length


def _after_root(own: int, ranges: Sequence[SubordinateRange]) -> tuple[MapLine, ...]:
    lines = [MapLine(0, own, 1)]
    inside = 1
    for start, length in ranges:
        lines.append(MapLine(inside, start, length))
        inside += length
    return tuple(lines)


def identity_of(maps: IdMaps) -> IdMaps:
    """Return the maps of a child namespace that has all IDs of a parent with `maps`, under the same numbers."""
    return IdMaps(*(tuple(MapLine(line.inside, line.inside, line.length) for line in lines) for lines in maps))


def outside_id(lines: Sequence[MapLine], inside: int) -> int:
    """Return the ID that the parent namespace has for one of a namespace's. Raises `NodeLacks` where that is not mapped."""
    for line in lines:
        if line.inside <= inside < line.inside + line.length:
            return line.outside + inside - line.inside
    raise NodeLacks(
        f"the ID {inside} is not mapped into the container",
        "you have too few subordinate IDs: ask the administrator for a range in /etc/subuid and /etc/subgid",
    )


def read_map(path: str) -> tuple[MapLine, ...]:
    """Read /proc/PID/uid_map or gid_map; outside IDs are shown as the reader's own namespace has them."""
    with open(path, "rb", buffering=0) as map_file:
        content = map_file.read(1 << 16)
    return tuple(MapLine(*(int(field) for field in line.split())) for line in content.splitlines())


def write_by_kernel(pid: int, maps: IdMaps) -> None:
    """Write the maps of `pid`'s new namespace directly: as the parent namespace's root, or one own ID as anybody.

    For one own ID the kernel wants setgroups(2) denied first.
    """
    if maps.is_single:
        _write(f"/proc/{pid}/setgroups", b"deny")
    for name, lines in (("gid_map", maps.gids), ("uid_map", maps.uids)):
        _write(f"/proc/{pid}/{name}", b"".join(b"%d %d %d\n" % line for line in lines))


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, content)
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)


def write_by_helpers(pid: int, maps: IdMaps) -> None:
    """Write the maps by newuidmap(1) and newgidmap(1), which may give subordinate IDs; both run at the same time.

    Raises `NodeLacks` with the helper's own words.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    reading, writing = os.pipe2(os.O_CLOEXEC)
    children = []
    try:
        for helper, lines in (("newuidmap", maps.uids), ("newgidmap", maps.gids)):
            arguments = [helper, str(pid), *(str(field) for line in lines for field in line)]
            children.append((helper, _start_helper(arguments, null, writing)))
        os.close(writing)
        writing = -1
        failed = [helper for helper, child in children if os.waitpid(child, 0)[1] != 0]
        said = os.read(reading, 4096).decode("utf-8", "replace").strip() if failed else ""
    finally:
        for descriptor in (null, reading, writing):
            if descriptor >= 0:
                os.close(descriptor)
    if failed:
        raise NodeLacks(
            f"cannot map user IDs: {failed[0]} failed: {said or 'no message'}",
            "check that newuidmap and newgidmap are set-user-ID root and that /etc/subuid and /etc/subgid list you",
        )


def _start_helper(arguments: list[str], null: int, errors: int) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, errors, 2)]
    environment = {"PATH": os.environ.get("PATH", "") + ":/usr/bin:/usr/sbin:/sbin"}
    try:
        return os.posix_spawnp(arguments[0], arguments, environment, file_actions=actions)
    except FileNotFoundError:
        raise NodeLacks(
            f"cannot map user IDs: {arguments[0]} is not installed",
            "ask the administrator to install it (Debian: apt install uidmap)",
        ) from None
