"""The build cache: which layer a step made of which state, for all builds of the user.

    build-cache/KEY.json     the layer of one step: {"digest", "size", "mediaType", "diffID", "keys", "bytes", "created"}; of one
                             that changed nothing only "created"
    build-cache/KEY.content  the digest of files of a stage or image, which KEY names

KEY is a SHA-256 over what the step depends on: the diff IDs below, the instruction with the values of its variables, and the
content of what it copies (names, modes, data; no times). A record does not keep its layer: that goes with the images that have
it, by `rl image prune` where a build ended without an image, or by `rl builder prune`. One whose blob or folder is gone is a miss.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from rootless.containers.copying.extraction import Members
from rootless.images import additions, layers
from rootless.images.layout import Layout, replace_file
from rootless.images.manifest import Blob
from rootless.images.new_image import StoredLayer
from rootless.images.sweep import remove_postponed, size_of_layers
from rootless.locations import Locations

_SUFFIX: Final = ".json"
_CONTENT: Final = ".content"


class CachedStep(NamedTuple):
    """One record: its key, the layer that it names (None: it changed nothing), when it was last used (seconds since 1970)."""

    key: str
    layer: StoredLayer | None
    used: float
    created: str  # RFC 3339


class StepCache:
    """The records of one user; without `reads` every step is made anew, and noted."""

    def __init__(self, locations: Locations, *, reads: bool = True) -> None:
        self._locations = locations
        self._folder = f"{locations.data_root}/build-cache"
        self._layout = Layout(locations)
        self._reads = reads

    def find(self, key: str) -> CachedStep | None:
        """Return a step, if its layer is there; the caller is in `additions.adding`, which keeps it."""
        found = self._read(key) if self._reads else None
        if found is None or not self._is_whole(found):
            return None
        with contextlib.suppress(FileNotFoundError):  # somebody has just pruned it
            os.utime(self._path(key))
        return found

    def note(self, key: str, layer: StoredLayer | None, created: str) -> None:
        """Note the layer of a step (None for one that changed nothing), and when it was made."""
        os.makedirs(self._folder, 0o700, exist_ok=True)
        record: dict[str, Any] = {"created": created}
        if layer is not None:
            blob = layer.blob
            record.update(digest=blob.digest, size=blob.size, mediaType=blob.media_type, diffID=layer.diff_id)
            record.update(keys=layer.keys, bytes=layer.size)
        replace_file(self._path(key), json.dumps(record).encode())

    def content(self, key: str) -> str | None:
        """Return the digest of files that was noted under a key."""
        try:
            with open(f"{self._folder}/{key}{_CONTENT}", encoding="ascii") as file:
                return file.read() or None
        except FileNotFoundError:
            return None

    def note_content(self, key: str, digest: str) -> None:
        """Note the digest of files."""
        os.makedirs(self._folder, 0o700, exist_ok=True)
        replace_file(f"{self._folder}/{key}{_CONTENT}", digest.encode())

    def skipping(self, skips: bool) -> "StepCache":
        """Return the same cache, which with `skips` is not read."""
        return StepCache(self._locations, reads=self._reads and not skips)

    def list(self) -> Iterator[CachedStep]:
        """Yield all records whose layers are there."""
        for key, used in self._names():
            step = self._read(key)
            if step is not None and self._is_whole(step):
                yield step._replace(used=used)

    def prune(self) -> int:
        """Remove all records, and the layers that only they name; returns the bytes of these. The caller is single-threaded."""
        blobs, keys = set(), set()
        for key, _used in list(self._names()):
            step = self._read(key)
            if step is not None and step.layer is not None and self._is_whole(step):
                blobs.add(step.layer.blob.digest)
                keys.add(step.layer.keys[-1])
            with contextlib.suppress(FileNotFoundError):  # another command prunes, too
                os.unlink(self._path(key))
        with contextlib.suppress(FileNotFoundError):  # no build has been
            for name in os.listdir(self._folder):
                if name.endswith(_CONTENT):
                    os.unlink(f"{self._folder}/{name}")
        before = size_of_layers(self._locations, sorted(keys))
        self._layout.prepare()
        with self._layout.locked():
            additions.postpone(self._locations, blobs, keys)
        remove_postponed(self._locations)
        return before - size_of_layers(self._locations, [key for key in sorted(keys) if layers.is_unpacked(self._locations, key)])

    def _names(self) -> Iterator[tuple[str, float]]:
        with contextlib.suppress(FileNotFoundError):  # no build has been, or another command prunes
            for entry in os.scandir(self._folder):
                if entry.name.endswith(_SUFFIX):
                    yield entry.name.removesuffix(_SUFFIX), entry.stat().st_mtime

    def _read(self, key: str) -> CachedStep | None:
        try:
            with open(self._path(key), "rb") as file:
                record: dict[str, Any] = json.load(file)
            created = str(record["created"])
            if "digest" not in record:
                return CachedStep(key, None, 0, created)
            blob = Blob(record["digest"], record["size"], record["mediaType"])
            layer = StoredLayer(blob, record["diffID"], tuple(record["keys"]), record["bytes"], ())
            return CachedStep(key, layer, 0, created)
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, or damaged: the step is made anew
            return None

    def _is_whole(self, step: CachedStep) -> bool:
        layer = step.layer
        if layer is None:
            return True
        there = self._layout.has_blob(layer.blob.digest, layer.blob.size)
        return there and all(layers.is_unpacked(self._locations, key) for key in layer.keys)

    def _path(self, key: str) -> str:
        return f"{self._folder}/{key}{_SUFFIX}"


def key_of(*parts: Any) -> str:
    """Return the key of what JSON can carry."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def content_of(members: Members, *, with_owners: bool = False) -> str:
    """Return a digest of what is to be copied: names, kinds, modes, data; no times, and owners only `with_owners`."""
    summed = hashlib.sha256()
    for member in members:
        if with_owners:
            summed.update(b"%d:%d" % (member.uid, member.gid))
        known = (member.name, member.kind, member.mode, member.size, member.link, sorted(member.xattrs.items()), member.pieces)
        summed.update(repr(known).encode())
        for block in members.content():
            summed.update(block)
    return summed.hexdigest()
