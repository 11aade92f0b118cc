"""Writing images of the store into folders: OCI layouts (`oci:DIR`), and skopeo's `dir:` with one image.

Files appear whole, by rename, and what names them last: a layout that others read may be added to.
"""

import contextlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from rootless.errors import CorruptImage, InvalidInput, os_error_text
from rootless.images import media_types
from rootless.images.archive_images import INDEX
from rootless.images.compression import HashedBlocks, Limits, is_compressed
from rootless.images.layout import REF_NAME, Layout, annotation, replace_file
from rootless.images.manifest import Blob, parse_manifest
from rootless.images.save import OCI_LAYOUT, Note, Saved, blob_blocks, blobs_of, index_entries, index_of, read_blob

_VERSION: Final = b"Directory Transport Version: 1.1\n"
_GZIP_WINDOW: Final = 31  # zlib.h: 15 bits, and a gzip header, which has no time in it
_DOCKER_OF_OCI: Final = {
    media_types.OCI_CONFIG: media_types.DOCKER_CONFIG,
    media_types.OCI_LAYER: "application/vnd.docker.image.rootfs.diff.tar",
    f"{media_types.OCI_LAYER}+gzip": media_types.DOCKER_LAYER,
    f"{media_types.OCI_LAYER}+zstd": "application/vnd.docker.image.rootfs.diff.tar.zstd",
}


def save_layout(layout: Layout, images: Sequence[Saved], folder: str, note: Note, ref_name: str | None = None) -> None:
    """Add images to the OCI layout in `folder`, which is made if it is not there; `ref_name` is written instead of their names.

    An image that had one of the names loses it. Raises `InvalidInput` (the folder is something else), `CorruptImage`, `OSError`.
    """
    entries = _entries_of(folder)
    os.makedirs(f"{folder}/blobs/sha256", exist_ok=True)
    replace_file(f"{folder}/oci-layout", OCI_LAYOUT)
    for blob in blobs_of(layout, images):
        path = f"{folder}/blobs/{blob.digest.replace(':', '/')}"
        if not _is_there(path, blob):
            _note_layer(blob, note)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _write(path, blob_blocks(layout, blob))
    added = [entry for saved in images for entry in index_entries(layout, saved, ref_name)]
    names = {annotation(entry, REF_NAME) for entry in added} - {None}
    digests = {entry["digest"] for entry in added}
    kept = [
        one for one in entries
        if annotation(one, REF_NAME) not in names and (annotation(one, REF_NAME) or one.get("digest") not in digests)
    ]  # fmt: skip
    replace_file(f"{folder}/{INDEX}", index_of([*kept, *added]))


def save_dir(layout: Layout, saved: Saved, folder: str, note: Note, *, docker: bool, compress: bool) -> None:
    """Write one image into a folder of skopeo's `dir:`; `docker` asks for Docker's media types, `compress` for gzip layers.

    Docker's manifests know no zstd everywhere, so such layers are decompressed with `docker`. Raises as `save_layout`.
    """
    if os.path.isdir(folder) and os.listdir(folder) and not os.path.exists(f"{folder}/manifest.json"):
        raise InvalidInput(f"the folder is not empty, and is no image's: {folder}", "give a new folder")
    os.makedirs(folder, exist_ok=True)
    manifest = parse_manifest(saved.image.manifest)
    _write(f"{folder}/{_encoded(manifest.config.digest)}", [read_blob(layout, manifest.config.digest)])
    layers = []
    for blob, diff_id in zip(manifest.layers, saved.image.diff_ids, strict=True):
        _note_layer(blob, note)
        layers.append(_write_layer(layout, blob, diff_id, folder, docker=docker, compress=compress))
    content = read_blob(layout, saved.image.manifest_digest)
    if docker or compress:
        content = _manifest(manifest.config, layers, docker=docker)
    replace_file(f"{folder}/version", _VERSION)
    replace_file(f"{folder}/manifest.json", content)


def _write_layer(layout: Layout, blob: Blob, diff_id: str, folder: str, *, docker: bool, compress: bool) -> Blob:
    with open(layout.blob_path(blob.digest), "rb") as file:
        first = file.read(4)
    if not is_compressed(first):
        if not compress:
            written, size = _write_hashed(folder, blob_blocks(layout, blob))
            return Blob(written, size, media_types.OCI_LAYER)
        written, size = _write_hashed(folder, _gzipped(blob_blocks(layout, blob)))
        return Blob(written, size, f"{media_types.OCI_LAYER}+gzip")
    is_gzip = first[:2] == b"\x1f\x8b"
    if is_gzip or not (docker or compress):
        written, size = _write_hashed(folder, blob_blocks(layout, blob))
        return Blob(written, size, f"{media_types.OCI_LAYER}+{'gzip' if is_gzip else 'zstd'}")
    plain = _decompressed(layout, blob, diff_id)
    written, size = _write_hashed(folder, _gzipped(plain) if compress else plain)
    return Blob(written, size, f"{media_types.OCI_LAYER}+gzip" if compress else media_types.OCI_LAYER)


def _manifest(config: Blob, layers: Sequence[Blob], *, docker: bool) -> bytes:
    def descriptor(blob: Blob) -> dict[str, Any]:
        media_type = _DOCKER_OF_OCI.get(blob.media_type, blob.media_type) if docker else blob.media_type
        return {"mediaType": media_type, "size": blob.size, "digest": blob.digest}

    document = {
        "schemaVersion": 2,
        "mediaType": media_types.DOCKER_MANIFEST if docker else media_types.OCI_MANIFEST,
        "config": descriptor(config._replace(media_type=media_types.OCI_CONFIG)),
        "layers": [descriptor(layer) for layer in layers],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _decompressed(layout: Layout, blob: Blob, diff_id: str) -> Iterator[bytes]:
    with open(layout.blob_path(blob.digest), "rb", buffering=0) as file, HashedBlocks(file, Limits()) as blocks:
        yield from blocks
        found = blocks.digest()
    if found != diff_id:
        raise CorruptImage(f"a layer in the store has the diff ID {found}, not {diff_id}", "remove the image and pull it again")


def _gzipped(blocks: Iterable[bytes]) -> Iterator[bytes]:
    compressor = zlib.compressobj(wbits=_GZIP_WINDOW)
    for block in blocks:
        yield compressor.compress(block)
    yield compressor.flush()


def _write_hashed(folder: str, blocks: Iterable[bytes]) -> tuple[str, int]:
    """Write a blob whose digest is known at the end only; return it and the length."""
    import hashlib  # loads OpenSSL, 3 ms

    digest, size = hashlib.sha256(), 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for block in blocks:
            digest.update(block)
            size += len(block)
            yield block

    temporary = f"{folder}/.layer"
    _write(temporary, counted())
    os.rename(temporary, f"{folder}/{digest.hexdigest()}")
    return f"sha256:{digest.hexdigest()}", size


def _write(path: str, blocks: Iterable[bytes]) -> None:
    """Write a file that appears whole, or not at all."""
    temporary = f"{path}.new"
    try:
        with open(temporary, "wb") as file:
            for block in blocks:
                file.write(block)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):  # it could not even be made
            os.unlink(temporary)
        raise


def _entries_of(folder: str) -> list[dict[str, Any]]:
    """Return what an existing layout's index lists; nothing for a folder that is not there yet, or empty."""
    try:
        with open(f"{folder}/{INDEX}", "rb") as file:
            document = json.load(file)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.lexists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
            raise InvalidInput(f"no OCI layout, and no empty folder: {folder}", "give a new folder") from None
        return []
    except ValueError as error:
        raise InvalidInput(f"not an OCI layout: {folder}/{INDEX} is not JSON: {error}") from error
    except OSError as error:
        raise InvalidInput(f"cannot read the OCI layout: {os_error_text(error)}") from error
    entries = document.get("manifests") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise InvalidInput(f"not an OCI layout: {folder}/{INDEX} has no list of manifests")
    return entries


def _is_there(path: str, blob: Blob) -> bool:
    return os.path.isfile(path) and os.path.getsize(path) == blob.size


def _note_layer(blob: Blob, note: Note) -> None:
    if blob.media_type in media_types.LAYERS:
        note(f"Copying layer {_encoded(blob.digest)[:12]}")


def _encoded(digest: str) -> str:
    return digest.partition(":")[2]
