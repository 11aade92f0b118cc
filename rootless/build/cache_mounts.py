"""The folders of `RUN --mount=type=cache`, which all builds of a user share.

    build-mounts/NAME/d        what the steps see, in files of subordinate IDs
    build-mounts/NAME/lock     held shared by steps that share it, else alone; a prune leaves alone what anybody holds

NAME is a digest of the ID and of where the first content came from; with sharing=private a number follows, of which the first that
is free is taken.
"""

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
from collections.abc import Callable, Iterator
from typing import Final

from rootless.build.mount_flags import LOCKED, PRIVATE, Mount
from rootless.images.removal import remove_tree
from rootless.linux import file_lock
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent
from rootless.storage.usage import tree_size

_MODE: Final = 0o755
Fill = Callable[[int], None]
"""Writes the first content into the open folder; runs in the parent namespace."""


def taken(locations: Locations, mount: Mount, origin: str, fill: Fill | None, stack: contextlib.ExitStack) -> str:
    """Return the folder of a cache mount, which is held until `stack` ends; waits where it is locked by another step.

    `origin` tells of what `fill` writes into a new one. The caller is single-threaded.
    """
    digest = hashlib.sha256(f"{mount.id}\0{origin}".encode(errors="surrogateescape")).hexdigest()[:32]
    names = (f"{digest}.{number}" for number in itertools.count()) if mount.sharing == PRIVATE else iter([digest])
    while True:
        folder = f"{_parent(locations)}/{next(names)}"
        os.makedirs(folder, 0o700, exist_ok=True)
        lock = os.open(f"{folder}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _held(lock, mount.sharing):
            break
        os.close(lock)
    stack.callback(os.close, lock)
    if not os.path.isdir(f"{folder}/d"):
        run_in_parent(locations, _make, folder, mount, fill)
    return f"{folder}/d"


def sizes(locations: Locations) -> list[tuple[str, int, float]]:
    """Return name, bytes and time of last use (seconds since 1970) of all of them. The caller is single-threaded."""
    found = []
    for name in _names(locations):
        with contextlib.suppress(FileNotFoundError):
            used = os.stat(f"{_parent(locations)}/{name}/lock").st_mtime
            found.append((name, run_in_parent(locations, tree_size, f"{_parent(locations)}/{name}/d"), used))
    return found


def prune(locations: Locations) -> int:
    """Remove all that no step holds; returns their bytes. The caller is single-threaded."""
    freed = 0
    for name in _names(locations):
        folder = f"{_parent(locations)}/{name}"
        try:
            lock = os.open(f"{folder}/lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # another prune, or one that is being made
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            freed += run_in_parent(locations, _remove, f"{folder}/d")
        except BlockingIOError:
            continue
        finally:
            os.close(lock)
    return freed


def _parent(locations: Locations) -> str:
    return f"{locations.data_root}/build-mounts"


def _names(locations: Locations) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError):  # no build has had any
        yield from sorted(os.listdir(_parent(locations)))


def _held(lock: int, sharing: str) -> bool:
    """Take the lock; False where somebody else has a private one."""
    how = fcntl.LOCK_EX if sharing in (LOCKED, PRIVATE) else fcntl.LOCK_SH
    try:
        fcntl.flock(lock, how | (fcntl.LOCK_NB if sharing == PRIVATE else 0))
        os.utime(lock)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in file_lock.REFUSED:
            raise
        # A network file system without locks: two steps may meet in it, as with sharing=shared.
    return True


def _make(folder: str, mount: Mount, fill: Fill | None) -> None:
    """Make the folder `d`, complete when it has its name."""
    new = f"{folder}/new-{os.getpid()}"
    os.mkdir(new, 0o700)
    root = os.open(new, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if fill is not None:
            fill(root)
        try:
            os.chown(root, mount.uid or 0, mount.gid or 0)
        except OSError as error:
            if error.errno != errno.EINVAL:  # of one ID only: it is everybody's
                raise
        os.fchmod(root, _MODE if mount.mode is None else mount.mode)
    finally:
        os.close(root)
    try:
        os.rename(new, f"{folder}/d")
    except OSError as error:
        remove_tree(new)
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another step of another build has made it
            raise


def _remove(tree: str) -> int:
    freed = tree_size(tree)
    remove_tree(tree)
    return freed
