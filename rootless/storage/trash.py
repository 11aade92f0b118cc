"""Deleting trees in two steps: renamed into the trash at once, deleted when there is time.

A tree may hold files of subordinate IDs, which the user cannot delete from outside: then a worker in the parent namespace does it.
"""

import contextlib
import errno
import fcntl
import os

from rootless.errors import RlError
from rootless.images.removal import remove_tree
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent


def throw_away(locations: Locations, path: str, name: str) -> str | None:
    """Rename `path` into the trash as `name`; returns where it went, or None when it is gone already."""
    os.makedirs(locations.trash, 0o700, exist_ok=True)
    target = f"{locations.trash}/{name}"
    try:
        os.rename(path, target)
    except FileNotFoundError:
        return None
    return target


def delete(locations: Locations, trashed: str) -> None:
    """Delete a tree of the trash, as the user if that is enough, else as the parent namespace's root.

    One that another process is deleting just now is left to it.
    """
    try:
        claim = os.open(trashed, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(claim)
        return
    except OSError as error:  # a file system that locks no folders: two may delete at once, which does no harm
        if error.errno not in (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    try:
        _delete_tree(locations, trashed)
    finally:
        os.close(claim)


def _delete_tree(locations: Locations, trashed: str) -> None:
    try:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            os.chmod(f"{trashed}/work/work", 0o700)  # the kernel's overlay leaves its work folder without any mode bit
        remove_tree(trashed)
    except PermissionError:
        run_in_parent(locations, remove_tree, trashed)


def empty(locations: Locations) -> None:
    """Delete whatever processes that were killed left in the trash; what cannot be deleted stays there for another time."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(locations.trash):
            with contextlib.suppress(RlError, OSError):
                delete(locations, f"{locations.trash}/{name}")
