"""Writing images of the store to archives (`rl save`, and transports such as `oci-archive:FILE`).

    docker-archive    HEX.tar       a layer, uncompressed, named by its diff ID
                      HEX.json      a config, named by its digest, which is the image's ID
                      ID/…          what Docker before 1.10 read: VERSION, json, and layer.tar, a link to the layer
                      manifest.json, repositories
    oci-archive       the tar of an OCI layout: blobs as they are in the store, index.json with the names

Both are the same bytes for the same images. Every blob is hashed while it is read: what leaves the store is what it should be.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from rootless.errors import CorruptImage
from rootless.images import media_types, reference, tar, tar_writer
from rootless.images.archive_images import CONTAINERD_NAME
from rootless.images.compression import BLOCK, HashedBlocks, Limits, is_compressed
from rootless.images.layout import REF_NAME, Layout
from rootless.images.manifest import Blob, chain_ids, parse_manifest
from rootless.images.output_file import is_rewritable, write_all
from rootless.images.store import Image
from rootless.images.tar_writer import TarWriter

_VERSION: Final = b"1.0"
OCI_LAYOUT: Final = b'{"imageLayoutVersion":"1.0.0"}'
Note = Callable[[str], None]


class Saved(NamedTuple):
    """An image to write, and the whole names that it has in the archive."""

    image: Image
    names: tuple[str, ...]


def save_docker(layout: Layout, images: Sequence[Saved], output: int, note: Note) -> None:
    """Write a docker-archive to a descriptor. Raises `CorruptImage` where a blob is missing or damaged, `OSError`."""
    archive = _Archive(output)
    written: set[str] = set()
    repositories: dict[str, dict[str, str]] = {}
    for saved in images:
        image, blobs = saved.image, parse_manifest(saved.image.manifest).layers
        for blob, diff_id in zip(blobs, image.diff_ids, strict=True):
            if diff_id not in written:
                written.add(diff_id)
                note(f"Copying layer {_hex(diff_id)[:12]}")
                archive.layer(f"{_hex(diff_id)}.tar", layout, blob, diff_id)
        if image.id not in written:
            written.add(image.id)
            archive.small(f"{_hex(image.id)}.json", read_blob(layout, image.id))
        top = _add_old_form(archive, image, written)
        for name in saved.names if top else ():
            repository, tag, _ = reference.split_name(name)
            repositories.setdefault(reference.familiar(repository), {})[tag or reference.DEFAULT_TAG] = top
    archive.small("manifest.json", _json([_docker_entry(saved) for saved in images]))
    if repositories:
        archive.small("repositories", _json(repositories))
    archive.tar.finish()


def save_oci(layout: Layout, images: Sequence[Saved], output: int, note: Note, ref_name: str | None = None) -> None:
    """Write an oci-archive to a descriptor; `ref_name` is written instead of the names. Raises as `save_docker`."""
    archive = _Archive(output)
    archive.small("oci-layout", OCI_LAYOUT)
    for folder in ("blobs", "blobs/sha256"):
        archive.tar.add(tar_writer.folder(folder))
    for blob in blobs_of(layout, images):
        if blob.media_type in media_types.LAYERS:
            note(f"Copying layer {_hex(blob.digest)[:12]}")
        archive.tar.add(tar_writer.file(f"blobs/{blob.digest.replace(':', '/')}", blob.size), blob_blocks(layout, blob))
    archive.small("index.json", index_of([entry for saved in images for entry in index_entries(layout, saved, ref_name)]))
    archive.tar.finish()


def blobs_of(layout: Layout, images: Sequence[Saved]) -> list[Blob]:
    """Return all blobs of images, each once: configs and layers before the manifests that name them."""
    found: dict[str, Blob] = {}
    for saved in images:
        manifest = parse_manifest(saved.image.manifest)
        for blob in (manifest.config, *manifest.layers, manifest_blob(layout, saved.image)):
            found.setdefault(blob.digest, blob)
    return list(found.values())


def manifest_blob(layout: Layout, image: Image) -> Blob:
    """Return what describes an image's manifest."""
    size = len(read_blob(layout, image.manifest_digest))
    return Blob(image.manifest_digest, size, str(image.manifest.get("mediaType") or media_types.OCI_MANIFEST))


def index_entries(layout: Layout, saved: Saved, ref_name: str | None = None) -> list[dict[str, Any]]:
    """Return an image's descriptors for index.json, one a name; `ref_name` is written instead of the names."""
    blob = manifest_blob(layout, saved.image)
    entry: dict[str, Any] = {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size}
    if ref_name is not None:
        return [{**entry, "annotations": {REF_NAME: ref_name}}]
    if not saved.names:
        return [entry]
    return [{**entry, "annotations": {CONTAINERD_NAME: name, REF_NAME: name}} for name in saved.names]


def index_of(entries: list[dict[str, Any]]) -> bytes:
    """Return index.json."""
    return _json({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": entries})


def blob_blocks(layout: Layout, blob: Blob) -> Iterator[bytes]:
    """Yield a blob's bytes. Raises `CorruptImage` where it is missing, or at the end where it is not what its digest says."""
    digest, size = hashlib.new(blob.digest.partition(":")[0]), 0
    with _opened(layout, blob.digest) as file:
        while block := os.read(file, BLOCK):
            digest.update(block)
            size += len(block)
            if size > blob.size:
                break
            yield block
    if size != blob.size or digest.hexdigest() != _hex(blob.digest):
        raise CorruptImage(f"blob {blob.digest} in the store is damaged", "remove the image and pull it again")


def read_blob(layout: Layout, digest: str) -> bytes:
    """Return a small blob: a manifest or a config. Raises as `blob_blocks`."""
    with _opened(layout, digest) as file:
        size = os.fstat(file).st_size
    return b"".join(blob_blocks(layout, Blob(digest, size, "")))


class _Archive:
    """A tar on a descriptor."""

    def __init__(self, output: int) -> None:
        self._output = output
        self.tar = TarWriter(lambda data: write_all(output, data))

    def small(self, name: str, content: bytes) -> None:
        self.tar.add(tar_writer.file(name, len(content)), [content])

    def layer(self, name: str, layout: Layout, blob: Blob, diff_id: str) -> None:
        """Write a layer, decompressed.

        Its length comes before it: of a compressed one it is written into the header afterwards, where that is possible, else the
        layer is decompressed to a file first.
        """
        with _opened(layout, blob.digest) as file:
            first = os.pread(file, BLOCK, 0)
            if not is_compressed(first):
                self.tar.add(tar_writer.file(name, blob.size), blob_blocks(layout, blob))
            elif is_rewritable(self._output):
                self._with_length_afterwards(name, file, diff_id)
            else:
                self._through_file(name, layout, file, diff_id)

    def _with_length_afterwards(self, name: str, layer: int, diff_id: str) -> None:
        place = os.lseek(self._output, 0, os.SEEK_CUR)
        write_all(self._output, tar_writer.header(tar_writer.file(name, 0)))
        size = _decompress(layer, self._output, diff_id)
        write_all(self._output, bytes(-size % tar.BLOCK))
        end = os.lseek(self._output, 0, os.SEEK_CUR)
        os.pwrite(self._output, tar_writer.header(tar_writer.file(name, size)), place)
        self.tar.skipped(end - place)

    def _through_file(self, name: str, layout: Layout, layer: int, diff_id: str) -> None:
        folder = os.path.dirname(layout.partial_path("sha256:0"))
        spool = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        try:
            size = _decompress(layer, spool, diff_id)
            os.lseek(spool, 0, os.SEEK_SET)
            self.tar.add(tar_writer.file(name, size), iter(lambda: os.read(spool, BLOCK), b""))
        finally:
            os.close(spool)


class _Descriptor:
    """A descriptor to read from, as `HashedBlocks` wants it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, size: int, /) -> bytes:
        return os.read(self._descriptor, size)


def _decompress(layer: int, output: int, diff_id: str) -> int:
    """Write a layer's decompressed bytes and return their number. Raises `CorruptImage` where they are not those of the diff ID."""
    size = 0
    with HashedBlocks(_Descriptor(layer), Limits()) as blocks:
        for block in blocks:
            write_all(output, block)
            size += len(block)
        found = blocks.digest()
    if found != diff_id:
        raise CorruptImage(f"a layer in the store has the diff ID {found}, not {diff_id}", "remove the image and pull it again")
    return size


def _add_old_form(archive: _Archive, image: Image, written: set[str]) -> str:
    """Write the folders of the form before manifest.json and return the topmost layer's ID in it, "" for no layers."""
    parent = ""
    for number, (diff_id, chain_id) in enumerate(zip(image.diff_ids, chain_ids(image.diff_ids), strict=True), 1):
        is_top = number == len(image.diff_ids)
        # The topmost has the image's settings, so its ID must be the image's own.
        known = {"layer": chain_id, "parent": parent, **({"image": image.id} if is_top else {})}
        identity = hashlib.sha256(_json(known)).hexdigest()
        if f"old {identity}" not in written:
            written.add(f"old {identity}")
            archive.small(f"{identity}/VERSION", _VERSION)
            archive.small(f"{identity}/json", _json(_old_document(image, identity, parent, is_top=is_top)))
            archive.tar.add(tar_writer.symlink(f"{identity}/layer.tar", f"../{_hex(diff_id)}.tar"))
        parent = identity
    return parent


def _old_document(image: Image, identity: str, parent: str, *, is_top: bool) -> dict[str, Any]:
    document: dict[str, Any] = {"id": identity, "created": "1970-01-01T00:00:00Z", "container_config": {"Cmd": [""]}}
    if is_top:
        document = {key: value for key, value in image.config.items() if key not in {"rootfs", "history"}} | {"id": identity}
    return document | ({"parent": parent} if parent else {})


def _docker_entry(saved: Saved) -> dict[str, Any]:
    return {
        "Config": f"{_hex(saved.image.id)}.json",
        "RepoTags": list(saved.names) or None,
        "Layers": [f"{_hex(diff_id)}.tar" for diff_id in saved.image.diff_ids],
    }


@contextlib.contextmanager
def _opened(layout: Layout, digest: str) -> Iterator[int]:
    try:
        descriptor = os.open(layout.blob_path(digest), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise CorruptImage(f"blob {digest} is missing from the store", "pull the image again") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _hex(digest: str) -> str:
    return digest.partition(":")[2]


def _json(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
