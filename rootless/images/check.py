"""`rl system check`: every blob against its digest, every reference, every unpacked layer against its record; and repairs.

Theory of operation. Blobs and layers are read without a lock: they never change, and one that another process removes meanwhile
is not missed. References are then looked at under the store's lock, where they are whole, so what a concurrent pull or removal is
doing just now is never told as damage; a blob or layer that is no longer the same file or folder as the one that was read is
not told of either. A repair takes away only what is broken, under the store's lock and if it is still the same:

    a damaged blob           is removed; an image whose manifest or config it was loses its entry, one whose layer it was keeps it
    a damaged layer          goes to the trash and is unpacked again from its blobs, unless a running container uses it
    a layer that is missing  is unpacked again from its blobs

What then still lacks a blob must be pulled again, and is named.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from rootless.errors import CorruptImage
from rootless.images import layers
from rootless.images.check_layers import Checked, check_layers
from rootless.images.check_references import References, check_references
from rootless.images.reference import is_digest
from rootless.images.store import ImageStore
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent

_THREADS: Final = 2  # hashing is as fast as a disk
_TEMPORARY: Final = "tmp-"

Identity = tuple[int, int]  # inode and time of its last change (ns), which a rename is: of the same name another object has another


class Holder(NamedTuple):
    """A container, as far as images are concerned."""

    name: str
    layer_keys: tuple[str, ...]
    is_running: bool


class Problem(NamedTuple):
    """What is wrong with one object, and the names of the images and containers that need it.

    `kind` says what `name` is: "index" (its path), "image" (a name), "blob" (a digest), "layer" (the name of its folder).
    `identity` is that of the blob or the layer's folder that was looked at, None for one that is missing.
    """

    kind: str
    name: str
    text: str
    users: tuple[str, ...] = ()
    identity: Identity | None = None


class Report(NamedTuple):
    """How much was looked at, and what was found; `notes` are left-overs that do no harm."""

    blobs: int
    blob_bytes: int
    images: int
    layers: int
    files: int
    problems: list[Problem]
    notes: list[str]


def check(locations: Locations, holders: Callable[[], Iterable[Holder]], *, quick: bool = False) -> Report:
    """Check the store of one user; `quick` reads no contents. The caller is single-threaded.

    `holders` returns the containers, and is called under the store's lock: what they need stays as long as that is held.

    Raises `NodeLacks` where there are no user namespaces, `OSError` where the store cannot be read.
    """
    if not os.path.isdir(locations.images):
        return Report(0, 0, 0, 0, 0, [], [])
    store = ImageStore(locations)
    sizes = dict(_blobs_of(locations))
    damaged = {} if quick else _damaged_blobs(store, list(sizes))
    folders = {name: identity_of(f"{locations.layers}/{name}") for name in _layer_folders(locations)}
    checked = _checked_layers(locations, list(folders), quick=quick)
    with store.layout.locked():
        try:
            references = check_references(store)
        except CorruptImage as error:
            references = References([], [], [])
            problems = [Problem("index", f"{locations.images}/index.json", error.message)]
        else:
            same = [one for one in checked if identity_of(f"{locations.layers}/{one.name}") == folders[one.name]]
            problems = list(_problems(store, references, damaged, same, list(holders())))
    images = len({image.image_id for image in references.images}) + len(references.broken)
    files = sum(one.files for one in checked)
    return Report(len(sizes), sum(sizes.values()), images, len(checked), files, problems, list(_notes(locations)))


def identity_of(path: str) -> Identity | None:
    """Return the identity of a file or folder, None where there is none."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_ctime_ns


def _problems(
    store: ImageStore, found: References, damaged: dict[str, "_Damage"], checked: list[Checked], holders: list[Holder]
) -> Iterator[Problem]:
    """Put together what is still true under the store's lock, each thing once."""
    for broken in found.broken:
        yield Problem("image", broken.name, broken.text)
    needing: dict[str, list[str]] = {}
    for image in found.images:
        for digest in (*image.documents, *image.layer_blobs):
            needing.setdefault(digest, []).append(image.name)
    wrong = {digest: _Damage(text, identity_of(store.layout.blob_path(digest))) for _name, digest, text in found.missing}
    wrong |= {digest: one for digest, one in damaged.items() if identity_of(store.layout.blob_path(digest)) == one.identity}
    for digest, one in wrong.items():
        yield Problem("blob", digest, one.text, tuple(needing.get(digest, ())), one.identity)
    yield from _layer_problems(store.locations, found, checked, holders)


def _layer_problems(locations: Locations, found: References, checked: list[Checked], holders: list[Holder]) -> Iterator[Problem]:
    needing: dict[str, list[str]] = {}
    users = [(one.name, one.layer_keys) for one in found.images]
    users += [(f"container {one.name}", one.layer_keys) for one in holders]
    for user, keys in users:
        for key in keys:
            names = needing.setdefault(os.path.basename(layers.folder_of(locations, key)), [])
            if user not in names:
                names.append(user)
    for name, names in needing.items():
        if not os.path.exists(f"{locations.layers}/{name}"):
            yield Problem("layer", name, "it is missing", tuple(names))
    for one in checked:
        identity = identity_of(f"{locations.layers}/{one.name}")
        if one.problems and identity is not None:
            yield Problem("layer", one.name, "; ".join(one.problems), tuple(needing.get(one.name, ())), identity)


def _blobs_of(locations: Locations) -> Iterator[tuple[str, int]]:
    """Yield digest and size of each blob."""
    root = f"{locations.images}/blobs"
    for algorithm in sorted(os.listdir(root)):
        with os.scandir(f"{root}/{algorithm}") as found:
            for one in found:
                with contextlib.suppress(FileNotFoundError):  # removed just now
                    yield f"{algorithm}:{one.name}", one.stat(follow_symlinks=False).st_size


class _Damage(NamedTuple):
    """What is wrong with a blob, and which file that is."""

    text: str
    identity: Identity | None


def _damaged_blobs(store: ImageStore, digests: list[str]) -> dict[str, _Damage]:
    """Return what is wrong with blobs, by digest. All threads have ended then."""

    def looked_at(digest: str) -> tuple[str | None, Identity | None]:
        identity = identity_of(store.layout.blob_path(digest))
        return _damage_of(store, digest), identity

    with ThreadPoolExecutor(_THREADS) as pool:
        found = zip(digests, pool.map(looked_at, digests), strict=True)
        return {digest: _Damage(text, identity) for digest, (text, identity) in found if text is not None}


def _damage_of(store: ImageStore, digest: str) -> str | None:
    if not is_digest(digest):
        return "its name is no digest"
    algorithm, _, encoded = digest.partition(":")
    try:
        with open(store.layout.blob_path(digest), "rb", buffering=0) as blob:
            found = hashlib.file_digest(blob, algorithm).hexdigest()
    except FileNotFoundError:  # removed just now
        return None
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return None if found == encoded else f"it has the digest {algorithm}:{found}"


def _layer_folders(locations: Locations) -> list[str]:
    try:
        return sorted(name for name in os.listdir(locations.layers) if not name.startswith(_TEMPORARY))
    except FileNotFoundError:
        return []


def _checked_layers(locations: Locations, names: list[str], *, quick: bool) -> list[Checked]:
    if not names:
        return []
    return [Checked(*one) for one in run_in_parent(locations, check_layers, locations, names, quick)]


def _notes(locations: Locations) -> Iterator[str]:
    """Yield what is left over, or under way just now; neither is damage."""
    partial = _sizes(f"{locations.images}/partial")
    if partial:
        yield f"{len(partial)} unfinished downloads of {sum(partial)} bytes, kept for the next pull"
    with contextlib.suppress(FileNotFoundError):
        temporary = sum(name.startswith(_TEMPORARY) for name in os.listdir(locations.layers))
        if temporary:
            yield f"{temporary} layers half unpacked, which the next pull removes"
    trash = _sizes(locations.trash)
    if trash:
        yield f"{len(trash)} removed trees in the trash"


def _sizes(folder: str) -> list[int]:
    sizes = []
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as found:
        for one in found:
            with contextlib.suppress(FileNotFoundError):  # removed just now
                sizes.append(one.stat(follow_symlinks=False).st_size)
    return sizes
