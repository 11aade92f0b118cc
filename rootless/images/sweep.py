"""Removing blobs and unpacked layers that nothing reaches, and what else is left over in the store.

What is reachable is worked out under the store's lock; trees are renamed into the trash under it, and deleted after it.
"""

import errno
import fcntl
import glob
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from rootless.errors import CorruptImage
from rootless.images import additions, layers
from rootless.images.layout import Descriptor
from rootless.images.reach import Reach, reach_of
from rootless.images.removal import remove_tree
from rootless.images.store import ImageStore
from rootless.images.unpack_image import read_record, remove_leftovers
from rootless.linux.file_lock import REFUSED
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent

_TRASHED: Final = "layer-"
# Other tools write into the layout without our locks, blobs first and the index last: what is younger may be theirs.
_YOUNGEST: Final = 3600.0
_DAY: Final = 86400.0


class Swept(NamedTuple):
    """Keys of the layers that went, and the bytes of all blobs and files that went."""

    layer_keys: tuple[str, ...]
    size: int


def leave_index(store: ImageStore, kept: list[Descriptor], garbage: Reach) -> Swept:
    """Write the index with `kept` only, and discard what the entries that go reached alone; as `discard`.

    On a full disk, where the new index has no room, unpacked layers go first: a kill in between costs an image no more than being
    unpacked again.
    """
    try:
        store.layout.replace_descriptors(kept)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT} or not garbage.layer_keys:
            raise
    else:
        return discard(store, garbage)
    first = discard(store, Reach(set(), garbage.layer_keys))
    empty_trash(store.locations)
    store.layout.replace_descriptors(kept)
    second = discard(store, garbage._replace(layer_keys=set()))
    return Swept(first.layer_keys, first.size + second.size)


def discard(store: ImageStore, garbage: Reach) -> Swept:
    """Remove blobs, and rename layers into the trash, or put that off while somebody adds an image.

    The caller holds the store's lock, has replaced the index, and calls `empty_trash` after it. What was put off counts as removed.
    """
    keys = sorted(key for key in garbage.layer_keys if layers.is_unpacked(store.locations, key))
    swept = Swept(tuple(keys), sum(size_of_blob(store, digest) for digest in garbage.blobs) + size_of_layers(store.locations, keys))
    with additions.nobody_adds(store.locations) as alone:
        if not alone:
            additions.postpone(store.locations, garbage.blobs, keys)
            return swept
        for digest in garbage.blobs:
            _remove_file(store.layout.blob_path(digest))
        os.makedirs(store.locations.trash, 0o700, exist_ok=True)
        for key in keys:
            folder = layers.folder_of(store.locations, key)
            os.rename(folder, f"{store.locations.trash}/{_TRASHED}{os.path.basename(folder)}-{secrets.token_hex(4)}")
    return swept


def remove_postponed(locations: Locations) -> None:
    """Remove what removals put off, as far as nothing reaches it now. The caller is single-threaded.

    A container that was being made of an image when that was removed has found the layers still there, and has them for good.
    """
    store = ImageStore(locations)
    with store.layout.locked():
        blobs, keys = additions.take_postponed(locations)
        alive = reach_of(store, store.layout.descriptors())
        discard(store, Reach(blobs - alive.blobs, keys - alive.layer_keys - _keys_of_containers(locations)))
    empty_trash(locations)


def sweep(locations: Locations, held_layers: Callable[[], Iterable[str]], now: float | None = None) -> Swept:
    """Remove all blobs and layers that nothing reaches, and downloads that nobody went on with for a day.

    `held_layers` returns the keys of layers that containers use. The caller is single-threaded.
    """
    store = ImageStore(locations)
    if not os.path.isdir(locations.images):
        return Swept((), 0)
    now = time.time() if now is None else now
    with store.layout.locked():
        blobs, keys = additions.take_postponed(locations)
        alive = reach_of(store, store.layout.descriptors())
        kept = {layers.folder_of(locations, key) for key in (*alive.layer_keys, *held_layers())}
        blobs.update(_old_blobs(locations, now - _YOUNGEST))
        keys.update(_unused_layers(locations, kept, now - _YOUNGEST))
        keys = {key for key in keys if layers.folder_of(locations, key) not in kept}
        swept = discard(store, Reach(blobs - alive.blobs, keys))
        for unfinished in glob.iglob(f"{glob.escape(locations.images)}/index.json.*.new"):  # of a process that was killed
            _remove_file(unfinished)
    size = swept.size + _remove_old_downloads(locations, now - _DAY)
    if os.path.isdir(locations.layers):
        run_in_parent(locations, remove_leftovers, locations)
    empty_trash(locations)
    return Swept(swept.layer_keys, size)


def empty_trash(locations: Locations) -> None:
    """Delete the trashed layers, also those of a process that was killed, in the parent namespace: they have subordinate IDs."""
    try:
        names = os.listdir(locations.trash)
    except FileNotFoundError:
        return
    trees = [f"{locations.trash}/{name}" for name in names if name.startswith(_TRASHED)]
    if trees:
        run_in_parent(locations, _remove_trees, trees)


def size_of_blob(store: ImageStore, digest: str) -> int:
    """Return the bytes of a blob; 0 for one that is not there."""
    try:
        return os.stat(store.layout.blob_path(digest)).st_size
    except FileNotFoundError:
        return 0


def size_of_layers(locations: Locations, keys: Iterable[str]) -> int:
    """Return the bytes of all files of unpacked layers; one that is missing or broken counts as 0."""
    size = 0
    for key in keys:
        try:
            size += int(read_record(layers.folder_of(locations, key))["size"])
        except CorruptImage:
            continue
    return size


def _keys_of_containers(locations: Locations) -> set[str]:
    """Return the keys of the layers that containers' records name; the caller has the store's lock, under which these are made."""
    keys: set[str] = set()
    for path in glob.iglob(f"{glob.escape(locations.containers)}/*/container.json"):
        try:
            with open(path, "rb") as record:
                own = json.load(record)["Rl"]
            for needed in (own, *own.get("MountedImages", ())):
                keys.update(map(str, needed["LayerKeys"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # removed just now, or damaged: `rl system check` tells
            continue
    return keys


def _old_blobs(locations: Locations, before: float) -> Iterator[str]:
    """Yield the digests of blobs last changed (that is, renamed to their names) before a time."""
    blobs = f"{locations.images}/blobs"
    for algorithm in os.listdir(blobs):
        with os.scandir(f"{blobs}/{algorithm}") as entries:
            yield from (f"{algorithm}:{entry.name}" for entry in entries if entry.stat().st_ctime < before)


def _unused_layers(locations: Locations, kept: set[str], before: float) -> Iterator[str]:
    """Yield the keys of complete layers that are in other folders than `kept`, and older than a time."""
    try:
        names = os.listdir(locations.layers)
    except FileNotFoundError:
        return
    for folder in (f"{locations.layers}/{name}" for name in names):
        if folder in kept or not os.path.exists(f"{folder}/{layers.RECORD}"):
            continue
        if os.stat(folder).st_ctime < before:
            yield str(read_record(folder)["key"])


def _lock_if_possible(descriptor: int) -> None:
    """Lock a file, where there are locks: what is old enough to be removed is hardly in use. Raises `BlockingIOError`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in REFUSED:
            raise


def _remove_old_downloads(locations: Locations, before: float) -> int:
    """Remove unfinished downloads, but for those that a pull is at work on; return their bytes."""
    size = 0
    folder = f"{locations.images}/partial"
    for path in (f"{folder}/{name}" for name in os.listdir(folder)):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:  # it has just become a blob
            continue
        try:
            _lock_if_possible(descriptor)
            status = os.fstat(descriptor)
            if status.st_mtime < before and status.st_nlink:
                os.unlink(path)
                size += status.st_size
        except (BlockingIOError, FileNotFoundError):  # a pull has it, or has just made it a blob
            continue
        finally:
            os.close(descriptor)
    return size


def _remove_file(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:  # a repaired or half removed store: the aim is reached
        return


def _remove_trees(trees: list[str]) -> None:
    for tree in trees:
        remove_tree(tree)
