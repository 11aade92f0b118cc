"""Unpacking an image's layers into the store of unpacked layers, each once.

Theory of operation. `LayerUnpacker` lives in a worker in the parent namespace. It extracts layers in whatever order
their blobs arrive, each into `layers/tmp-…` (which it keeps locked), and then places the stack bottom first: only when
the layers below are there is it known which attributes the folders have that a tar leaves out, and so which key the
layer gets (see `layers`). Placing is one rename: of two that unpack the same layer at once the second finds the name
taken and throws its own away.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, NamedTuple

from rootless.errors import CorruptImage
from rootless.images import layers, lower
from rootless.images.attributes import Attributes, choose_form
from rootless.images.blobs import explain_full_disk
from rootless.images.compression import HashedBlocks, Limits, Source, limits_from
from rootless.images.layout import Layout
from rootless.images.manifest import chain_ids, diff_ids_of, parse_manifest
from rootless.images.mtree import RecordWriter, crc32
from rootless.images.removal import remove_tree
from rootless.images.unpack import Unpacked, unpack
from rootless.linux.file_lock import REFUSED
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent

_TEMPORARY: Final = "tmp-"
_DAY: Final = 86400  # seconds after which a temporary folder that cannot be locked is nobody's
_NAMED: Final = 3  # devices that a warning names
_BUFFER: Final = 1 << 17  # bytes of a layer's record of files


class UnpackedImage(NamedTuple):
    """The keys of all layers, bottom first, and the bytes of all their regular files."""

    keys: tuple[str, ...]
    size: int


class NewLayer(NamedTuple):
    """A layer's diff ID; the keys of its whole stack, bottom first, and the bytes of all their regular files.

    `warnings` tell what could not be unpacked as it is.
    """

    diff_id: str
    keys: tuple[str, ...]
    size: int
    warnings: tuple[str, ...]


class _Extracted(NamedTuple):
    """A layer in its temporary folder, whose lock `descriptor` holds."""

    folder: str
    descriptor: int
    record: dict[str, Any]


def unpack_image(locations: Locations, manifest: dict[str, Any], config: dict[str, Any]) -> UnpackedImage:
    """Unpack what is missing of an image whose blobs are in the store. The caller is single-threaded.

    Raises `CorruptImage` naming layer and member, `NodeLacks` (no space, IDs out of range), `OSError`.
    """
    blobs = parse_manifest(manifest).layers
    diff_ids = diff_ids_of(config, len(blobs))
    layout = Layout(locations)
    paths = {diff_id: layout.blob_path(blob.digest) for diff_id, blob in zip(diff_ids, blobs, strict=True)}
    os.makedirs(locations.layers, 0o700, exist_ok=True)
    keys, size = run_in_parent(locations, _unpack_stack, locations, paths, diff_ids)
    return UnpackedImage(tuple(keys), size)


def unpack_new_layer(locations: Locations, blob_path: str, below: tuple[str, ...] = ()) -> NewLayer:
    """Unpack a layer whose diff ID is not known yet; those with the diff IDs `below` are unpacked, the bottom one first."""
    os.makedirs(locations.layers, 0o700, exist_ok=True)
    diff_id, warnings, keys, size = run_in_parent(locations, _unpack_new, locations, blob_path, below)
    return NewLayer(diff_id, tuple(keys), size, tuple(warnings))


def _unpack_stack(locations: Locations, paths: dict[str, str], diff_ids: tuple[str, ...]) -> tuple[list[str], int]:
    with LayerUnpacker(locations) as unpacker:
        for diff_id, path in paths.items():
            unpacker.blobs[diff_id] = path
        return unpacker.place(diff_ids)


def _unpack_new(locations: Locations, blob_path: str, below: tuple[str, ...]) -> tuple[str, list[str], list[str], int]:
    with LayerUnpacker(locations) as unpacker:
        diff_id = unpacker.extract(blob_path, None)
        warnings = unpacker.warnings_of(diff_id)
        return diff_id, warnings, *unpacker.place((*below, diff_id))


class LayerUnpacker:
    """Extracts and places layers; to be used in the parent namespace, as a context manager that removes what was not placed."""

    def __init__(self, locations: Locations, limits: Limits | None = None) -> None:
        """Take the limits of one layer, by default those that the environment sets."""
        self.blobs: dict[str, str] = {}  # diff ID -> path of its blob, for layers that are not extracted yet
        self._locations = locations
        self._limits = limits or limits_from(os.environ)
        self._extracted: dict[str, _Extracted] = {}
        self._abandoned: dict[str, int] = {}  # temporary folder -> its lock; removed at the end, when no signal interrupts

    def __enter__(self) -> "LayerUnpacker":
        remove_leftovers(self._locations)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for extracted in self._extracted.values():
            self._abandoned[extracted.folder] = extracted.descriptor
        for folder, descriptor in self._abandoned.items():
            remove_tree(folder)
            os.close(descriptor)

    def extract(self, blob_path: str, diff_id: str | None, told: Callable[[int], None] | None = None) -> str:
        """Unpack a blob into a temporary folder and return its diff ID, which must be `diff_id` unless that is None.

        `told` is called by another thread with the number of the blob's bytes that have been read.
        """
        folder, descriptor = _make_temporary(self._locations.layers)
        try:
            with explain_full_disk(self._locations.layers):
                record = self._extract_into(folder, descriptor, blob_path, told)
            _check_diff_id(record["diffID"], diff_id)
        except BaseException:
            self._abandoned[folder] = descriptor
            raise
        found = str(record["diffID"])
        self._extracted[found] = _Extracted(folder, descriptor, record)
        return found

    def warnings_of(self, diff_id: str) -> list[str]:
        """Return what the user should know of a layer that has been extracted here and not placed."""
        extracted = self._extracted.get(diff_id)
        return [] if extracted is None else _warnings(extracted.record)

    def place(self, diff_ids: tuple[str, ...]) -> tuple[list[str], int]:
        """Give all layers of a stack their final names; return their keys, bottom first, and the bytes of their files."""
        keys: list[str] = []
        below: list[str] = []
        size = 0
        for diff_id, chain_id in zip(diff_ids, chain_ids(diff_ids), strict=True):
            key = self._place(diff_id, chain_id, below)
            folder = layers.folder_of(self._locations, key)
            keys.append(key)
            below.insert(0, f"{folder}/{layers.TREE}")
            size += int(read_record(folder)["size"])
        return keys, size

    def _place(self, diff_id: str, chain_id: str, below: list[str]) -> str:
        if layers.is_unpacked(self._locations, chain_id) and (diff_id != chain_id or not below):
            return chain_id
        if layers.is_unpacked(self._locations, diff_id):
            implied = read_record(layers.folder_of(self._locations, diff_id))["implied"]
            if not lower.differing(implied, below):
                return diff_id
        if diff_id not in self._extracted:
            self.extract(self.blobs[diff_id], diff_id)
        extracted = self._extracted.pop(diff_id)
        differing = lower.differing(extracted.record["implied"], below)
        if differing:
            with open(f"{extracted.folder}/{layers.FILES}", "ab") as files:
                tree = f"{extracted.folder}/{layers.TREE}"
                side = lower.apply(tree, differing, extracted.record["form"], RecordWriter(files))
            if side:
                _add_to_side_file(f"{extracted.folder}/{layers.SIDE_FILE}", side)
        key = chain_id if differing else diff_id
        _finish(extracted, key, layers.folder_of(self._locations, key))
        return key

    def _extract_into(
        self, folder: str, descriptor: int, blob_path: str, told: Callable[[int], None] | None
    ) -> dict[str, Any]:
        attributes = Attributes(choose_form(descriptor))
        tree = f"{folder}/{layers.TREE}"
        os.mkdir(tree, 0o700)
        root = os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with (
                open(blob_path, "rb", buffering=0) as blob,
                open(f"{folder}/{layers.FILES}", "wb", buffering=_BUFFER) as files,
                HashedBlocks(_Watched(blob, told) if told else blob, self._limits) as blocks,
            ):
                unpacked = unpack(blocks, root, attributes, self._limits, RecordWriter(files))
                diff_id = blocks.digest()
        finally:
            os.close(root)
        if attributes.side:
            _write_json(f"{folder}/{layers.SIDE_FILE}", attributes.side)
        return _record(diff_id, attributes, unpacked)


class _Watched:
    """A blob that tells how far it has been read."""

    def __init__(self, blob: Source, told: Callable[[int], None]) -> None:
        self._blob = blob
        self._told = told
        self._offset = 0

    def read(self, size: int, /) -> bytes:
        data = self._blob.read(size)
        self._offset += len(data)
        self._told(self._offset)
        return data


def read_record(folder: str) -> dict[str, Any]:
    """Return the `layer.json` of an unpacked layer's folder."""
    path = f"{folder}/{layers.RECORD}"
    try:
        with open(path, "rb") as file:
            record: dict[str, Any] = json.loads(file.read())
    except (FileNotFoundError, ValueError) as error:
        raise CorruptImage(f"cannot read {path}: {error}", "remove the image and pull it again") from error
    return record


def checksum_of_file(path: str) -> int | None:
    """Return the CRC-32 of a file, None where there is none."""
    checksum = 0
    try:
        with open(path, "rb", buffering=0) as file:
            while block := file.read(1 << 20):
                checksum = crc32(block, checksum)
    except FileNotFoundError:
        return None
    return checksum


def remove_leftovers(locations: Locations) -> None:
    """Remove temporary folders whose unpacker is gone; runs in the parent namespace."""
    for name in os.listdir(locations.layers):
        folder = f"{locations.layers}/{name}"
        if not name.startswith(_TEMPORARY):
            continue
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # its unpacker has just placed it
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(folder)
        except (BlockingIOError, FileNotFoundError):  # in use, or another process removes it
            continue
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            if os.fstat(descriptor).st_mtime < time.time() - _DAY:
                remove_tree(folder)
        finally:
            os.close(descriptor)


def _record(diff_id: str, attributes: Attributes, unpacked: Unpacked) -> dict[str, Any]:
    return {
        "diffID": diff_id,
        "form": attributes.form,
        "size": unpacked.size,
        "members": unpacked.members,
        "implied": [path.decode(errors="surrogateescape") for path in unpacked.implied],
        "devicesLeftOut": unpacked.devices,
        "devicesLeftOutNames": unpacked.device_names,
        "xattrsRefused": attributes.refused,
    }


def _warnings(record: dict[str, Any]) -> list[str]:
    texts = []
    if record["devicesLeftOut"]:
        names, count = record["devicesLeftOutNames"], record["devicesLeftOut"]
        shown = ", ".join(names[:_NAMED]) + (f" and {count - _NAMED} more" if count > _NAMED else "")
        texts.append(f"left out {count} devices, which a user namespace cannot make: {shown}")
    for name, count in record["xattrsRefused"].items():
        texts.append(f"{count} files lack the extended attribute {name}, which this disk or user namespace refuses")
    return texts


def _check_diff_id(found: str, expected: str | None) -> None:
    if expected not in {None, found}:
        raise CorruptImage(f"the content of the layer has the diff ID {found}, but the config says {expected}")


def _make_temporary(parent: str) -> tuple[str, int]:
    """Make a temporary folder and lock it; again when `remove_leftovers` of another process came between the two."""
    while True:
        folder = f"{parent}/{_TEMPORARY}{secrets.token_hex(8)}"
        os.mkdir(folder, 0o700)
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return folder, descriptor
        except BlockingIOError:
            pass  # it is being removed
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            return folder, descriptor  # nobody removes it within a day
        os.close(descriptor)


def _finish(extracted: _Extracted, key: str, folder: str) -> None:
    """Write the record and rename the folder to its place, or remove it where another unpacker was faster."""
    checksums = {f"{name}CRC32": checksum_of_file(f"{extracted.folder}/{name}") for name in (layers.FILES, layers.SIDE_FILE)}
    _write_json(f"{extracted.folder}/{layers.RECORD}", {"key": key, **extracted.record, **checksums})
    try:
        os.rename(extracted.folder, folder)
    except OSError as error:
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
            raise
        remove_tree(extracted.folder)
    finally:
        os.close(extracted.descriptor)


def _add_to_side_file(path: str, lines: list[list[str | int]]) -> None:
    noted: list[list[str | int]] = []
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        noted = json.load(file)
    new = {line[0] for line in lines}
    _write_json(path, [line for line in noted if line[0] not in new] + lines)


def _write_json(path: str, content: Any) -> None:
    with open(path, "w", encoding="ascii") as file:  # json escapes all else, also surrogates
        json.dump(content, file)

