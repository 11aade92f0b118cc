"""The user of a container's process: `-u USER[:GROUP]` resolved against the image's /etc/passwd and /etc/group.

Both files are data of a possibly hostile image: they are read through the root's descriptor, with a limit, as bytes, and
never by the C library (pwd, grp), which would load the image's NSS modules. Rules and texts are Docker's (moby/sys user): a
number is always an ID, even where a name looks like it; groups of which the user is a member count only when no group is
named. Unlike there, a malformed line is skipped, not read as ID 0.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rootless.errors import InvalidInput, lost_root
from rootless.linux.openat2 import open_in_root

MAX_ID: Final = (1 << 31) - 1
MAX_FILE: Final = 8 << 20
"""Bytes of a passwd or group file that are read; a larger one is refused."""

MAX_GROUPS: Final = 65536
"""NGROUPS_MAX: what setgroups(2) takes."""

_PASSWD: Final = "/etc/passwd"  # noqa: S105 - a path
_GROUP: Final = "/etc/group"
_FIELDS: Final = {_PASSWD: 7, _GROUP: 4}


class ContainerUser(NamedTuple):
    """What a process in the container runs as; IDs are those inside the container."""

    uid: int
    gid: int
    additional_gids: tuple[int, ...]  # the primary group included, as in Docker (CVE-2022-36109)
    home: str


class _PasswdEntry(NamedTuple):
    name: bytes
    uid: int
    gid: int
    home: bytes


class _GroupEntry(NamedTuple):
    name: bytes
    gid: int
    members: list[bytes]


def resolve(root_fd: int, user: str, group_add: Sequence[str] = ()) -> ContainerUser:
    """Return what `user` ("", "NAME", "UID", each with ":GROUP" or ":GID") means in the root that `root_fd` has open.

    `group_add` are further groups by name or number. Raises `InvalidInput` with Docker's texts, and for files that cannot be used.
    """
    user_part, _, group_part = os.fsencode(user).partition(b":")
    entry = _find_user(root_fd, user_part)
    uid = entry.uid if entry else _own_number(user_part, "user", "passwd") if user_part else 0
    gid = entry.gid if entry else 0
    groups: list[int] = []
    if group_part:
        gid = _group_id(root_fd, group_part)
    elif entry:
        groups = [group.gid for group in _groups(root_fd) if entry.name in group.members]
    groups += [_group_id(root_fd, os.fsencode(name)) for name in group_add]
    additional = tuple(dict.fromkeys([gid, *groups]))
    if len(additional) > MAX_GROUPS:
        raise InvalidInput(f"user {user} is in {len(additional)} groups of the image: {MAX_GROUPS} are possible")
    return ContainerUser(uid, gid, additional, _home(entry))


def _home(entry: _PasswdEntry | None) -> str:
    """Return the home folder; one that cannot be a path or an environment variable counts as none."""
    home = os.fsdecode(entry.home) if entry else ""
    return home if home.startswith("/") else "/"


def _find_user(root_fd: int, wanted: bytes) -> _PasswdEntry | None:
    """Return the first entry with that name, or that number where `wanted` is one; "" is user 0."""
    number = _number(wanted or b"0")
    for fields in _entries(root_fd, _PASSWD):
        uid, gid = _valid_id(fields[2]), _valid_id(fields[3])
        if uid is None or gid is None:
            continue
        if fields[0] == wanted if number is None else uid == number:
            return _PasswdEntry(fields[0], uid, gid, fields[5])
    return None


def _groups(root_fd: int) -> Iterator[_GroupEntry]:
    for fields in _entries(root_fd, _GROUP):
        gid = _valid_id(fields[2])
        if gid is not None:
            yield _GroupEntry(fields[0], gid, fields[3].split(b","))


def _group_id(root_fd: int, wanted: bytes) -> int:
    """Return a group's ID by its name, or the number itself, which needs no entry."""
    if _number(wanted) is None:
        for group in _groups(root_fd):
            if group.name == wanted:
                return group.gid
    return _own_number(wanted, "group", "group")


def _own_number(wanted: bytes, kind: str, file: str) -> int:
    """Return a number that has no entry in a file. Raises `InvalidInput` for a name, or a number out of range."""
    number = _number(wanted)
    if number is None:
        raise InvalidInput(
            f"unable to find {kind} {os.fsdecode(wanted)}: no matching entries in {file} file",
            f"give a number, or a name from the image's /etc/{file}",
        )
    if not 0 <= number <= MAX_ID:
        raise InvalidInput(f"unable to find {kind} {number}: uids and gids must be in range 0-{MAX_ID}")
    return number


def _number(text: bytes) -> int | None:
    """Return a decimal number with an optional sign, or None; no spaces, underscores or other digits as int() takes them."""
    digits = text[1:] if text[:1] in (b"-", b"+") else text
    return int(text) if digits.isdigit() and len(digits) < 20 else None


def _valid_id(text: bytes) -> int | None:
    number = _number(text)
    return number if number is not None and 0 <= number <= MAX_ID else None


def _entries(root_fd: int, path: str) -> Iterator[list[bytes]]:
    """Yield the fields of each line that could be an entry."""
    wanted = _FIELDS[path]
    for line in _read(root_fd, path).split(b"\n"):
        if b"\0" in line or line.startswith(b"#"):
            continue
        fields = line.strip().split(b":")
        if len(fields) >= wanted:
            yield fields


def _read(root_fd: int, path: str) -> bytes:
    """Return a file of the image; b"" where there is none. Raises `InvalidInput` for what is not a plain file of sane size."""
    try:
        # O_NONBLOCK: a FIFO there must not stop us.
        descriptor = open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            return _content(descriptor, path)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except OSError as error:
        message = f"cannot read the image's {path}: {os.strerror(error.errno or errno.EIO)}"
        raise (lost_root(error, message) or InvalidInput(message)) from error


def _content(descriptor: int, path: str) -> bytes:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise InvalidInput(f"cannot read the image's {path}: not a regular file")
    content = bytearray()
    while chunk := os.read(descriptor, MAX_FILE + 1 - len(content)):
        content += chunk
    if len(content) > MAX_FILE:
        raise InvalidInput(f"cannot read the image's {path}: more than {MAX_FILE >> 20} MiB")
    return bytes(content)
