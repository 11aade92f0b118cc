"""The log of what happens to containers, images, volumes and secrets: `rl events` reads it, any process may write it.

Theory of operation. There is no daemon: each event is one line of JSON, appended with one write(2) to `events/log` in the data
root. O_APPEND keeps the lines of a node's processes apart; on NFS, where it does not, the lock on the file does, which is held for
the one write. A writer that does not get it soon (its holder was stopped) writes without. The writer that finds the file large
renames it to `log.1`, under the lock, and begins another; so nobody writes to a file that was renamed.

    {"Type":"container","Action":"start","Actor":{"ID":…,"Attributes":{"image":…,"name":…}},"timeNano":…}

Types, actions and attributes are Docker's (Docker Engine API, `/events`).
"""

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Mapping
from typing import Any, Final

from rootless.locations import Locations

LOG: Final = "log"
PREVIOUS: Final = "log.1"
MAX_BYTES: Final = 4 << 20
_LOCK_TRIES: Final = 20
_LOCK_PAUSE: Final = 0.002


def folder_of(locations: Locations) -> str:
    """Return the folder that has the log."""
    return f"{locations.data_root}/events"


def emit(
    locations: Locations, kind: str, action: str, actor_id: str, attributes: Mapping[str, str], *, max_bytes: int = MAX_BYTES
) -> None:
    """Note that something happened: `kind` is container, image, volume, network or secret, `action` a word of Docker's.

    `actor_id` is the object's ID, or its name where that is all it has. Never fails: an event that cannot be written (a full
    disk, a data root that is read only) is lost, and what it tells of has happened all the same.
    """
    actor = {"ID": actor_id, "Attributes": attributes}
    event = {"Type": kind, "Action": action, "Actor": actor, "timeNano": time.time_ns()}
    line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
    with contextlib.suppress(OSError):  # as the docstring says
        _append(folder_of(locations), line, max_bytes)


def container_attributes(document: Mapping[str, Any], **more: str) -> dict[str, str]:
    """Return what Docker tells of a container with each event: its labels, image and name, and `more`."""
    config = document["Config"]
    return {**(config.get("Labels") or {}), **more, "image": config["Image"], "name": document["Name"].lstrip("/")}


def emit_container(locations: Locations, document: Mapping[str, Any], action: str, **more: str) -> None:
    """Note that something happened to a container; `more` are attributes such as exitCode."""
    emit(locations, "container", action, document["Id"], container_attributes(document, **more))


def _append(folder: str, line: bytes, max_bytes: int) -> None:
    for _attempt in range(3):
        descriptor = _open(f"{folder}/{LOG}")
        try:
            locked = _lock(descriptor)
            size = os.fstat(descriptor).st_size
            if size < max_bytes or not locked:
                _write(descriptor, line, size, locked=locked)
                return
            _rotate(folder, descriptor)
        finally:
            os.close(descriptor)


def _open(path: str) -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        return os.open(path, flags, 0o600)


def _lock(descriptor: int) -> bool:
    for attempt in range(_LOCK_TRIES):
        if attempt:
            time.sleep(_LOCK_PAUSE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except OSError:  # ENOLCK, EOPNOTSUPP: a file system without locks
            return False
        return True
    return False


def _write(descriptor: int, line: bytes, size: int, *, locked: bool) -> None:
    """Write the line, or nothing of it: on a full disk a piece would spoil the next one."""
    written = os.write(descriptor, line)
    if written < len(line):
        if locked:
            os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _rotate(folder: str, descriptor: int) -> None:
    """Give a full file its other name, unless somebody else has while we waited for the lock."""
    path = f"{folder}/{LOG}"
    with contextlib.suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            os.rename(path, f"{folder}/{PREVIOUS}")
