"""The content store: an OCI image layout (image-spec image-layout.md) that any OCI tool reads in place.

    images/oci-layout
    images/index.json            one descriptor a name; annotations below
    images/blobs/sha256/HEX      immutable: written under another name, verified while written, fsynced, renamed
    images/partial/…             downloads that have not ended; the next pull goes on where they stopped
    images.lock                  beside the layout: flock for changes of index.json and for removing blobs and layers

Readers take no lock: index.json is replaced by rename. Who adds an image checks under the lock that all of its blobs
and layers are (still) there before it writes the index; who removes one works out under the lock what is still
reachable. So neither has to keep the lock while it downloads or deletes.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any, Final

from rootless.errors import CorruptImage
from rootless.images import media_types
from rootless.linux import file_lock
from rootless.locations import Locations

Descriptor = dict[str, Any]  # image-spec descriptor.md

REF_NAME: Final = "org.opencontainers.image.ref.name"
# Ours, so that listing images reads neither configs nor layers: the config's digest, the digest that the registry
# gave for the name (an index's, where the image came from one), the same for a name that the user gave afterwards (with
# what it reaches it stays, so that a push of that name has the manifest that the image came with), and the bytes of all
# unpacked files.
IMAGE_ID: Final = "rl.image.id"
SOURCE_DIGEST: Final = "rl.image.source-digest"
ORIGIN_DIGEST: Final = "rl.image.origin-digest"
UNPACKED_SIZE: Final = "rl.image.unpacked-size"

MAX_DOCUMENT: Final = 4 << 20  # distribution-spec: registries refuse manifests above 4 MiB


class Layout:
    """The layout of one user; nothing is made on disk before something is written."""

    def __init__(self, locations: Locations) -> None:
        self._folder = locations.images
        self._lock_path = f"{locations.data_root}/images.lock"

    def blob_path(self, digest: str) -> str:
        """Return where a blob is or will be; `digest` is `ALGORITHM:HEX` and has been checked."""
        algorithm, _, encoded = digest.partition(":")
        return f"{self._folder}/blobs/{algorithm}/{encoded}"

    def partial_path(self, digest: str) -> str:
        """Return where an unfinished download of a blob is kept."""
        return f"{self._folder}/partial/{digest.replace(':', '-')}"

    def has_blob(self, digest: str, size: int | None = None) -> bool:
        """Tell whether a blob is there, with this size in bytes where one is given."""
        try:
            return os.stat(self.blob_path(digest)).st_size == size if size is not None else os.path.exists(self.blob_path(digest))
        except FileNotFoundError:
            return False

    def read_document(self, digest: str) -> dict[str, Any]:
        """Return a JSON blob (manifest, index, config) as a dict. Raises `CorruptImage`."""
        try:
            with open(self.blob_path(digest), "rb") as blob:
                document = json.loads(blob.read(MAX_DOCUMENT + 1))
        except FileNotFoundError:
            raise CorruptImage(f"blob {digest} is missing from {self._folder}", "pull the image again") from None
        except ValueError as error:
            raise CorruptImage(f"blob {digest} is not JSON: {error}", "remove the image and pull it again") from error
        if not isinstance(document, dict):
            raise CorruptImage(f"blob {digest} is not a JSON object")
        return document

    def descriptors(self) -> list[Descriptor]:
        """Return the descriptors in index.json; none where there is no store yet. Raises `CorruptImage`."""
        path = f"{self._folder}/index.json"
        try:
            with open(path, "rb") as index:
                document = json.loads(index.read())
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise CorruptImage(f"{path} is not JSON: {error}") from error
        manifests = document.get("manifests") if isinstance(document, dict) else None
        if not isinstance(manifests, list):
            raise CorruptImage(f"{path} has no list of manifests")
        return manifests

    def prepare(self) -> None:
        """Make the folders and `oci-layout`; a no-op where they are there. The data root is private: it holds set-ID programs."""
        if os.path.exists(f"{self._folder}/index.json"):
            return
        os.makedirs(os.path.dirname(self._lock_path), 0o700, exist_ok=True)
        for folder in ("blobs/sha256", "partial"):
            os.makedirs(f"{self._folder}/{folder}", 0o700, exist_ok=True)
        replace_file(f"{self._folder}/oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        with self.locked():
            if not os.path.exists(f"{self._folder}/index.json"):
                self.replace_descriptors([])

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store's lock: short, never while downloading, unpacking or deleting trees."""
        with file_lock.locked(self._lock_path):
            yield

    def replace_descriptors(self, descriptors: list[Descriptor]) -> None:
        """Write index.json anew; the caller holds the lock."""
        document = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": descriptors}
        replace_file(f"{self._folder}/index.json", json.dumps(document, indent=1).encode())


def annotation(descriptor: Descriptor, key: str) -> str | None:
    """Return one annotation of a descriptor, or None."""
    annotations = descriptor.get("annotations")
    value = annotations.get(key) if isinstance(annotations, dict) else None
    return value if isinstance(value, str) else None


def replace_file(path: str, content: bytes) -> None:
    """Replace a file so that a reader, or a crash, sees the old or the new content whole."""
    temporary = f"{path}.{os.getpid()}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise
