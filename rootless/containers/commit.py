"""Making an image of a container: its image's layers, and one of what it changed (`rl commit`)."""

import tempfile
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from isal import isal_zlib

from rootless import events
from rootless.containers.documents import Document
from rootless.containers.root_trees import RootTrees, removal_told, root_trees, sync_root
from rootless.containers.store import ContainerStore
from rootless.errors import NoSuchObject
from rootless.images import additions, reference
from rootless.images.changes import apply_changes
from rootless.images.manifest import Blob, parse_manifest
from rootless.images.new_image import now, store_layer, write_documents
from rootless.images.output_file import write_all
from rootless.images.store import Image, ImageStore
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent
from rootless.storage.merged_tree import MergedTree
from rootless.storage.node_tar import NodeTar
from rootless.storage.upper_changes import DELETED, ENTERED, Changes

_LEVEL: Final = 1  # of compression: a fifth of the time of the default
_GZIP: Final = 31  # zlib.h, deflateInit2: a gzip header, the largest window
_COPIED: Final = (
    "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Healthcheck",
)  # fmt: skip
_TERMINAL: Final = "TERM=xterm"  # given to what runs in a terminal, and no part of an image


class CommitOptions(NamedTuple):
    """What the user says of the new image; `changes` are Dockerfile instructions."""

    author: str = ""
    message: str = ""
    changes: Sequence[str] = ()


def commit(locations: Locations, name: str, image_name: str | None, options: CommitOptions) -> Image:
    """Make an image of a container, running or not, and return it; volumes and other mounts are left out.

    What a running container changes meanwhile may be in the image or not. The caller is single-threaded. Raises `NoSuchObject`,
    `InvalidInput`, `CorruptImage`, `NodeLacks`, `OSError`; nothing is kept then.
    """
    target = None if image_name is None else reference.parse_new(image_name)
    document = ContainerStore(locations).find(name)
    store = ImageStore(locations)
    settings = _settings(document)
    apply_changes(settings, options.changes)
    with additions.adding(locations):
        base = store.find(document["Image"])
        if base is None:
            raise NoSuchObject(
                f"the image of container {name} was removed: {document['Image']}", "rl export writes its files all the same"
            )
        with tempfile.TemporaryFile(dir=locations.data_root) as file:
            with removal_told(locations, document, name):
                run_in_parent(locations, write_layer, root_trees(locations, document), file.fileno())
            file.seek(0)
            layer = store_layer(locations, file, base.diff_ids)
        layers: list[Blob] = [*parse_manifest(base.manifest).layers, layer.blob]
        config = _config(base, document, layer.diff_id, settings, options)
        new = write_documents(store.layout, layers, config, layer.keys, layer.size)
        if not store.add(new, target.name if target else None):
            raise NoSuchObject("a layer of the new image was removed by another process", "commit again")
        shown = reference.familiar_name(target.name) if target else ""
        events.emit_container(locations, document, "commit", comment=options.message, imageID=new.id, imageRef=shown)
        return store.added(new)


def write_layer(trees: RootTrees, output: int) -> bool:
    """Write the layer's tar, compressed, to the file `output`; runs in the parent namespace. Tells whether anything was changed."""
    sync_root(trees.late)
    compressor = isal_zlib.compressobj(_LEVEL, wbits=_GZIP)
    with MergedTree([trees.upper, *trees.layers]) as tree:
        archive = NodeTar(tree, lambda data: write_all(output, compressor.compress(data)))
        is_changed = _write_changes(tree, archive, whole_copy=trees.whole_copy)
    write_all(output, compressor.flush())
    return is_changed


def _write_changes(tree: MergedTree, archive: NodeTar, *, whole_copy: bool) -> bool:
    root = next(tree.walk())
    archive.add(root)
    is_changed = False
    for change in Changes(tree, whole_copy=whole_copy).walk():
        is_changed = is_changed or change.kind != ENTERED
        if change.kind == DELETED:
            archive.white_out(change.path)
            continue
        assert change.node is not None
        archive.add_to_layer(change.node)
        if change.replaces:
            archive.make_opaque(change.path)
    archive.finish()
    return is_changed


def _settings(document: Document) -> dict[str, Any]:
    """Return the image-spec config object that a container's own makes."""
    own = document["Config"]
    settings = {key: own[key] for key in _COPIED if own.get(key)}
    if own.get("Tty") and _TERMINAL in settings.get("Env", ()):
        settings["Env"] = [entry for entry in settings["Env"] if entry != _TERMINAL]
    return settings


def _config(base: Image, document: Document, diff_id: str, settings: dict[str, Any], options: CommitOptions) -> dict[str, Any]:
    created = now()
    step = {"created": created, "created_by": " ".join([document["Path"], *document["Args"]])}
    if options.author:
        step["author"] = options.author
    if options.message:
        step["comment"] = options.message
    history = base.config.get("history")
    config = {
        **base.config,
        "created": created,
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [*base.diff_ids, diff_id]},
        "history": [*(history if isinstance(history, list) else []), step],
    }
    for key in ("container", "container_config", "id", "parent"):  # of Docker's old configs: of the base, and not of this
        config.pop(key, None)
    if options.author:
        config["author"] = options.author
    return config
