"""The cgroup of an OCI container, where one can be made: version 2, a tree that we may write, and `linux.cgroupsPath` given.

This places the container's processes, and finds and ends them; limits are refused elsewhere (`resources`). Where no cgroup can be
made the container does without, as with crun's --cgroup-manager=disabled: a user of a node with version 1, or without delegation,
never can.
"""

import contextlib
import errno
import os
import time
from collections.abc import Callable
from typing import Final

_CANNOT: Final = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOSYS)
_PROCESSES: Final = "cgroup.procs"
_TRIES: Final = 200
_PAUSE: Final = 0.01


def make(path: str | None) -> str | None:
    """Make the cgroup that a config names, and return its folder; None where none is named or can be made.

    An absolute path counts from the tree's root, any other from our own cgroup. `slice:prefix:name` is for systemd to make.
    """
    root = _root() if path and ":" not in path else None
    if root is None or path is None:
        return None
    base = root if path.startswith("/") else root + _own()
    folder = os.path.normpath(f"{base}/{path}")
    if not folder.startswith(root + "/"):
        return None
    try:
        os.makedirs(folder, 0o755, exist_ok=True)
        descriptor = os.open(f"{folder}/{_PROCESSES}", os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
        return None
    os.close(descriptor)
    return folder


def placer(folder: str | None) -> Callable[[int], None] | None:
    """Return what puts a process, by its PID, into a cgroup."""
    return None if folder is None else lambda pid: _write(f"{folder}/{_PROCESSES}", str(pid))


def processes(folder: str) -> list[int]:
    """Return the PIDs in a cgroup and those below it; none where it is gone."""
    found: list[int] = []
    for current, _folders, _files in os.walk(folder):
        with contextlib.suppress(OSError), open(f"{current}/{_PROCESSES}", "rb") as file:
            found.extend(int(line) for line in file)
    return found


def remove(folder: str) -> None:
    """End all that is left in a cgroup, and remove it with those below it. Raises `OSError` where it stays in use."""
    for tries_left in reversed(range(_TRIES)):
        if not os.path.isdir(folder):
            return
        with contextlib.suppress(FileNotFoundError, PermissionError):  # before Linux 5.14 there is no such file
            _write(f"{folder}/cgroup.kill", "1")
        try:
            for current, _folders, _files in os.walk(folder, topdown=False):
                os.rmdir(current)
        except OSError as error:
            if error.errno not in (errno.EBUSY, errno.ENOENT) or not tries_left:
                raise
            time.sleep(_PAUSE)


def remove_empty(folder: str) -> None:
    """Remove a cgroup that nobody came to use; one that another container has stays."""
    with contextlib.suppress(OSError):  # EBUSY, or somebody else removed it
        os.rmdir(folder)


def _root() -> str | None:
    """Return where the version 2 tree is mounted."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            if rest.startswith("cgroup2 "):
                return fields.split()[4]
    return None


def _own() -> str:
    """Return our own cgroup's path, "" for the root."""
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            if line.startswith("0::"):
                return line[3:].strip().rstrip("/")
    return ""


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)
