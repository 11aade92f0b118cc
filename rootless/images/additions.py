"""The lock between those who add images and those who remove what nothing reaches.

Theory of operation. Who adds an image (pull, load, import, build) holds `images.adding` shared, from before it first looks whether
a blob or a layer is there until the image is in the index. Who removes holds the store's lock and then tries to get `images.adding`
alone, without waiting. While somebody adds, that fails: the names go, but blobs and layers stay, as the one who adds may have
decided already that it need not download them. They are noted in `images.postponed`, and go with the next removal, or when
the last one who adds has ended. So neither waits for the other, and a pull never finds that a blob which it counted on is gone.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterable, Iterator

from rootless.linux import file_lock, stand_in
from rootless.locations import Locations


@contextlib.contextmanager
def adding(locations: Locations) -> Iterator[None]:
    """Keep all blobs and layers where they are; at the end remove what had to wait for it. The caller is single-threaded then."""
    descriptor = _open(locations)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        except OSError as error:
            if error.errno not in file_lock.REFUSED:
                raise
            with _noted_as_adding(locations):
                yield
        else:
            yield
    finally:
        os.close(descriptor)
    if os.path.exists(_postponed_path(locations)):
        from rootless.images.sweep import remove_postponed  # which imports this module

        remove_postponed(locations)


@contextlib.contextmanager
def nobody_adds(locations: Locations) -> Iterator[bool]:
    """Yield whether nobody adds an image; if so, nobody begins to before the end. The caller has the store's lock."""
    descriptor = _open(locations)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        except OSError as error:
            if error.errno not in file_lock.REFUSED:
                raise
            yield not _who_adds(locations)
        else:
            yield True
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _noted_as_adding(locations: Locations) -> Iterator[None]:
    """Do the same where the file system has no locks: by a file of ours, made while nobody removes."""
    folder = _adders(locations)
    path = f"{folder}/{os.uname().nodename}-{os.getpid()}-{time.monotonic_ns()}"
    with file_lock.locked(f"{locations.data_root}/images.lock"):
        os.makedirs(folder, 0o700, exist_ok=True)
        stand_in.take(path)
    try:
        yield
    finally:
        stand_in.drop(path)


def _who_adds(locations: Locations) -> list[str]:
    """Return the names of those who add, without those of this node that are gone."""
    folder = _adders(locations)
    with contextlib.suppress(FileNotFoundError):  # nobody ever did
        for name in os.listdir(folder):
            if stand_in.is_stale(f"{folder}/{name}"):
                stand_in.drop(f"{folder}/{name}")
        return os.listdir(folder)
    return []


def _adders(locations: Locations) -> str:
    return f"{locations.data_root}/images.adding.holders"


def postpone(locations: Locations, blobs: Iterable[str], layer_keys: Iterable[str]) -> None:
    """Note what nothing reaches, but could not be removed now; the caller has the store's lock."""
    lines = [*(f"blob {digest}\n" for digest in blobs), *(f"layer {key}\n" for key in layer_keys)]
    if lines:
        with open(_postponed_path(locations), "a", encoding="ascii") as file:
            file.write("".join(lines))


def take_postponed(locations: Locations) -> tuple[set[str], set[str]]:
    """Return the blobs and layer keys that were noted, and forget them; the caller has the store's lock."""
    path = _postponed_path(locations)
    try:
        with open(path, encoding="ascii") as file:
            lines = [line.split() for line in file]
    except FileNotFoundError:
        return set(), set()
    os.unlink(path)
    noted = [(line[0], line[1]) for line in lines if len(line) == 2]
    return {name for kind, name in noted if kind == "blob"}, {name for kind, name in noted if kind == "layer"}


def _open(locations: Locations) -> int:
    os.makedirs(locations.data_root, 0o700, exist_ok=True)
    return os.open(f"{locations.data_root}/images.adding", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _postponed_path(locations: Locations) -> str:
    return f"{locations.data_root}/images.postponed"
