"""Reading images from archives into the store (`rl load`, and transports such as `oci-archive:FILE`).

Theory of operation. First everything is verified, of all images wanted, with nothing of it in its place yet: configs by their
digests, layers by theirs and by the diff IDs in the configs. Layers that are not unpacked are unpacked meanwhile, by a worker in
the parent namespace, one while the next is copied and hashed; so each is decompressed once. Only then are the unpacked layers
placed, the blobs renamed to their names, and the images put into the index. An image that the store has is not read again.
"""

import contextlib
import json
import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from rootless.errors import CorruptImage, NoSuchObject, RlError
from rootless.images import layers, media_types
from rootless.images.archive_images import ArchivedImage, Content, Layer, parse_json
from rootless.images.archive_members import Keeper, Kept, Members
from rootless.images.blobs import write_blob
from rootless.images.compression import HashedBlocks, Limits
from rootless.images.manifest import Blob, as_oci, chain_ids, diff_ids_of, parse_manifest
from rootless.images.store import Image, ImageStore, NewImage
from rootless.images.unpack_service import UnpackService, request, unwrap


class Wanted(NamedTuple):
    """An image to load, and the whole names that it gets (none: it is kept without a name)."""

    image: ArchivedImage
    names: tuple[str, ...]


class _Checked(NamedTuple):
    """A layer that is what it must be: where its bytes are now, and, if it is not in the store yet, the kept file."""

    blob: Blob
    path: str
    kept: Kept | None


class _Ready(NamedTuple):
    """An image of which all is verified. `manifest` is the OCI's."""

    id: str
    config: bytes
    manifest: bytes
    diff_ids: tuple[str, ...]
    layers: tuple[_Checked, ...]
    names: tuple[str, ...]


def load_images(
    store: ImageStore,
    members: Members,
    keeper: Keeper,
    wanted: Sequence[Wanted],
    note: Callable[[str], None],
    warn: Callable[[str], None],
) -> list[Image]:
    """Bring images of an archive into the store; the caller is single-threaded and keeps others from removing (`additions`).

    `note` is told of every layer that is copied, `warn` of what cannot be unpacked as it is, in words. Raises `CorruptImage` naming
    the member, `NodeLacks`, `OSError`; nothing is kept then.
    """
    with _Loader(store, members, keeper, note, warn) as loader:
        found = [loader.find(one) for one in wanted]
        new = loader.place([one for one in found if isinstance(one, _Ready)])
    for ready, added in new:
        _install(store, keeper, ready, added)
    for image, asked in zip(found, wanted, strict=True):
        if isinstance(image, Image):
            for name in asked.names:
                if name not in image.names:
                    _give_name(store, image, name)
    placed = iter(new)
    return [store.find(one.id) or one if isinstance(one, Image) else store.added(next(placed)[1]) for one in found]


class _Loader:
    """Verifies and unpacks. The worker starts with the first layer that is not unpacked."""

    def __init__(
        self, store: ImageStore, members: Members, keeper: Keeper, note: Callable[[str], None], warn: Callable[[str], None]
    ) -> None:
        self._store = store
        self._members = members
        self._keeper = keeper
        self._note = note
        self._warn = warn
        self._kept: dict[str, Kept] = {}
        self._checked: dict[str, _Checked] = {}  # by diff ID
        self._worker: _Worker | None = None

    def __enter__(self) -> "_Loader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._worker is not None:
            # After an error of the archive's the layer under way is waited for, so that certainly nothing of it stays.
            self._worker.end(at_once=error is not None and not isinstance(error, RlError))

    def find(self, wanted: Wanted) -> "Image | _Ready":
        """Return the store's image, or the archive's, verified, where the store does not have it whole."""
        content = wanted.image.read()
        return self._existing(content) or self._check(content, wanted.names)

    def _existing(self, content: Content) -> Image | None:
        try:
            image = self._store.find(_digest(content.config))
        except CorruptImage:  # the store's own is damaged: this one replaces it
            return None
        if image is None:
            return None
        blobs = parse_manifest(image.manifest).layers
        return image if all(self._store.layout.has_blob(blob.digest, blob.size) for blob in blobs) else None

    def _check(self, content: Content, names: tuple[str, ...]) -> _Ready:
        """Verify an image's config and layers, and have these unpacked."""
        config = parse_json(content.config, "the config")
        if not isinstance(config, dict):
            raise CorruptImage("the config is no JSON object")
        diff_ids = diff_ids_of(config, len(content.layers))
        checked = tuple(
            self._layer(layer, diff_id, chain_id)
            for layer, diff_id, chain_id in zip(content.layers, diff_ids, chain_ids(diff_ids), strict=True)
        )
        return _Ready(_digest(content.config), content.config, _manifest(content, checked), diff_ids, checked, names)

    def place(self, ready: Sequence[_Ready]) -> list[tuple[_Ready, NewImage]]:
        """Give the unpacked layers of all images their names; return what the store shall add."""
        placed = []
        for one in ready:
            paths = {diff_id: layer.path for diff_id, layer in zip(one.diff_ids, one.layers, strict=True)}
            keys, size = self._ask(request("place", paths, one.diff_ids), "the archive")
            placed.append((one, _new_image(one, tuple(keys), size)))
        if self._worker is not None:
            self._worker.wait()
        return placed

    def _layer(self, layer: Layer, diff_id: str, chain_id: str) -> _Checked:
        known = self._checked.get(diff_id)
        if known is not None and layer.blob in {None, known.blob}:
            return known
        checked = self._find(layer, diff_id)
        unpacked = any(layers.is_unpacked(self._store.locations, key) for key in (diff_id, chain_id))
        if not unpacked and known is None:
            self._extract(checked, diff_id, layer.member)
        elif checked.blob.digest != diff_id:
            _check_diff_id(checked.path, diff_id, layer.member)
        self._checked.setdefault(diff_id, checked)
        return checked

    def _find(self, layer: Layer, diff_id: str) -> _Checked:
        """Return where a layer's bytes are, which have the digest that the archive says, if it does."""
        layout = self._store.layout
        if layer.blob is not None and layout.has_blob(layer.blob.digest, layer.blob.size):
            return _Checked(layer.blob, layout.blob_path(layer.blob.digest), None)
        if layer.blob is None and layout.has_blob(diff_id):
            path = layout.blob_path(diff_id)
            return _Checked(Blob(diff_id, os.stat(path).st_size, media_types.OCI_LAYER), path, None)
        kept = self._kept.get(layer.member)
        if kept is None:
            kept = self._kept[layer.member] = self._members.keep(layer.member)
            self._note(f"Copying layer {diff_id.partition(':')[2][:12]}")
        if layer.blob is None:
            return _Checked(Blob(kept.digest, kept.size, _layer_type(kept.path)), kept.path, kept)
        if kept.size != layer.blob.size:
            raise CorruptImage(f"{layer.member!r} has {kept.size} bytes, not {layer.blob.size}")
        _check_blob(kept, layer.blob)
        return _Checked(layer.blob, kept.path, kept)

    def _extract(self, checked: _Checked, diff_id: str, member: str) -> None:
        if self._worker is None:
            self._worker = _Worker(self._store, self._warn)
        self._worker.begin(request("extract", checked.path, diff_id, False), member, checked.path)

    def _ask(self, line: bytes, member: str) -> Any:
        if self._worker is None:
            self._worker = _Worker(self._store, self._warn)
        self._worker.begin(line, member, "")
        return self._worker.wait()


class _Worker:
    """The unpacking worker: one request is under way while the caller does something else; `warn` is told what is left out."""

    def __init__(self, store: ImageStore, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._service = UnpackService(store.locations)
        self._replies = open(self._service.replies, "rb")  # noqa: SIM115 - closed by `end`
        self._pending: tuple[str, str] | None = None

    def begin(self, line: bytes, member: str, path: str) -> None:
        """Wait for the request before, and send the next; `member` and `path` are for its error."""
        self.wait()
        self._pending = (member, path)
        try:
            while line:
                line = line[os.write(self._service.requests, line) :]
        except BrokenPipeError:  # it has ended: `wait` says so
            return

    def wait(self) -> Any:
        """Return the result of the request that is under way, if there is one. Raises what it failed with."""
        if self._pending is None:
            return None
        (member, path), self._pending = self._pending, None
        try:
            result = unwrap(self._replies.readline())
        except CorruptImage as error:
            text = error.message.removeprefix(f"layer {os.path.basename(path)[:12]}: ")  # a temporary name says nothing
            raise CorruptImage(f"{member!r}: {text}", error.hint) from error
        if path:  # of a layer: what could not be unpacked as it is there
            for text in result:
                self._warn(text)
        return result

    def end(self, *, at_once: bool) -> None:
        """End the worker, if not at once then after the request that is under way."""
        if not at_once:
            with contextlib.suppress(RlError):  # another error is on its way already
                self.wait()
        os.close(self._service.requests)
        self._replies.close()
        self._service.end(at_once=at_once)


def _install(store: ImageStore, keeper: Keeper, ready: _Ready, added: NewImage) -> None:
    for layer in ready.layers:
        if layer.kept is not None:
            keeper.install(layer.kept, layer.blob.digest)
    write_blob(store.layout, ready.config, ready.id)
    write_blob(store.layout, ready.manifest, added.manifest.digest)
    for name in ready.names or (None,):
        if not store.add(added, name):
            raise RlError("layers of the image were removed while it was loaded", "load it again")


def _give_name(store: ImageStore, image: Image, name: str) -> None:
    """Give an image that was in the store one more name, also when another process has removed it: its blobs are here yet."""
    try:
        store.tag(image.id, name)
    except NoSuchObject:
        manifest = parse_manifest(image.manifest)
        size = os.stat(store.layout.blob_path(image.manifest_digest)).st_size
        media_type = str(image.manifest.get("mediaType") or media_types.OCI_MANIFEST)
        blobs = (image.manifest_digest, image.id, *(layer.digest for layer in manifest.layers))
        # Its layers need not be there: whoever runs it unpacks what is missing.
        store.add(NewImage(image.id, Blob(image.manifest_digest, size, media_type), blobs, (), image.size, None), name)


def _new_image(ready: _Ready, keys: tuple[str, ...], size: int) -> NewImage:
    digest = _digest(ready.manifest)
    return NewImage(
        id=ready.id,
        manifest=Blob(digest, len(ready.manifest), media_types.OCI_MANIFEST),
        blobs=(digest, ready.id, *(layer.blob.digest for layer in ready.layers)),
        layer_keys=keys,
        size=size,
        source_digest=None,
    )


def _manifest(content: Content, checked: tuple[_Checked, ...]) -> bytes:
    """Return an image's OCI manifest: the archive's own, or one made of what a docker-archive has."""
    if content.manifest is not None:
        return as_oci(*content.manifest)[0]
    document = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": {"mediaType": media_types.OCI_CONFIG, "digest": _digest(content.config), "size": len(content.config)},
        "layers": [{"mediaType": one.blob.media_type, "digest": one.blob.digest, "size": one.blob.size} for one in checked],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _layer_type(path: str) -> str:
    with open(path, "rb") as file:
        first = file.read(4)
    suffix = "+gzip" if first[:2] == b"\x1f\x8b" else "+zstd" if first == b"\x28\xb5\x2f\xfd" else ""
    return media_types.OCI_LAYER + suffix


def _check_diff_id(path: str, diff_id: str, member: str) -> None:
    """Check a layer that need not be unpacked, as it is already."""
    with open(path, "rb", buffering=0) as file, HashedBlocks(file, Limits()) as blocks:
        for _ in blocks:
            pass
        found = blocks.digest()
    if found != diff_id:
        raise CorruptImage(f"{member!r}: the content of the layer has the diff ID {found}, but the config says {diff_id}")


def _check_blob(kept: Kept, blob: Blob) -> None:
    found = kept.digest if blob.digest.startswith("sha256:") else _digest_of_file(kept.path, blob.digest.partition(":")[0])
    if found != blob.digest:
        raise CorruptImage(
            f"{kept.member!r}: wrong digest: expected {blob.digest}, found {found}", "the archive is damaged: make it again"
        )


def _digest_of_file(path: str, algorithm: str) -> str:
    import hashlib  # loads OpenSSL, 3 ms

    with open(path, "rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def _digest(content: bytes) -> str:
    import hashlib  # as above

    return f"sha256:{hashlib.sha256(content).hexdigest()}"

