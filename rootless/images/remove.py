"""Removing images and names (`rl rmi`), with what nothing else reaches: blobs and unpacked layers.

What is still reachable is worked out under the store's lock; trees are renamed into the trash under it, and deleted after it.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from rootless.errors import CorruptImage, InUse
from rootless.images import layers, reference
from rootless.images.layout import REF_NAME, SOURCE_DIGEST, Descriptor, annotation
from rootless.images.manifest import blob_of, parse_manifest
from rootless.images.removal import remove_tree
from rootless.images.store import ImageStore, no_such_image, without
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent

_TRASHED: Final = "layer-"

UsersOf = Callable[[str], list[str]]


class Removed(NamedTuple):
    """What was done, as Docker says it: familiar names, then the image's ID and the keys of its layers."""

    untagged: tuple[str, ...]
    deleted: tuple[str, ...]


def remove(locations: Locations, name: str, users_of: UsersOf, *, force: bool = False) -> Removed:
    """Remove what `name` means: a name, and with its last name the image; by ID the image with all its names.

    `users_of` returns the IDs of the containers that use the image with an ID. By `force` an image with several repositories
    goes by its ID, and one in use loses its names but keeps its data. The caller is single-threaded. Raises
    `NoSuchObject`, `InUse`.
    """
    store = ImageStore(locations)
    with store.layout.locked():
        descriptors = store.layout.descriptors()
        chosen = store.find_descriptor(descriptors, name)
        if chosen is None:
            raise no_such_image(name)
        image_id = store.image_id(chosen)
        own = [one for one in descriptors if store.image_id(one) == image_id]
        leaving = _leaving(name, chosen, own, image_id, force=force)
        users = users_of(image_id) if len(leaving) == len(own) else []
        if users and not force:
            raise InUse(
                f"conflict: unable to remove {name!r} (must be forced): container {users[0][:12]} uses image {_short(image_id)}",
                f"`rl rm {users[0][:12]}` first, or `rl rmi -f` to remove only the names",
            )
        untagged = _untagged_names(leaving, own)
        kept = [one for one in descriptors if one not in leaving]
        if users:
            kept.append(without(leaving[0], REF_NAME, SOURCE_DIGEST))
            store.layout.replace_descriptors(kept)
            return Removed(untagged, ())
        deleted = _delete(store, descriptors, kept)
    _empty_trash(locations)
    return Removed(untagged, (image_id, *deleted) if len(leaving) == len(own) else ())


def _leaving(name: str, chosen: Descriptor, own: list[Descriptor], image_id: str, *, force: bool) -> list[Descriptor]:
    """Return the entries that go: one name, or all of the image where `name` is an ID."""
    by_id = reference.may_be_id(name) and image_id.removeprefix("sha256:").startswith(name.removeprefix("sha256:"))
    if not by_id:
        return [chosen] if annotation(chosen, REF_NAME) else own
    repositories = {reference.split_name(noted)[0] for one in own if (noted := annotation(one, REF_NAME))}
    if len(repositories) > 1 and not force:
        raise InUse(
            f"conflict: unable to delete {_short(image_id)} (must be forced): image is referenced in multiple repositories",
            "remove it by its names, or use -f",
        )
    return own


def _untagged_names(leaving: list[Descriptor], own: list[Descriptor]) -> tuple[str, ...]:
    """Return the names that go, and the digests of those repositories of which no name stays."""
    staying = {reference.split_name(noted)[0] for one in own if one not in leaving and (noted := annotation(one, REF_NAME))}
    names: dict[str, None] = {}
    for one in leaving:
        noted, digest = annotation(one, REF_NAME), annotation(one, SOURCE_DIGEST)
        if noted:
            names[reference.familiar_name(noted)] = None
            repository = reference.split_name(noted)[0]
            if digest and repository not in staying:
                names[f"{reference.familiar(repository)}@{digest}"] = None
    return tuple(names)


def _delete(store: ImageStore, before: list[Descriptor], kept: list[Descriptor]) -> list[str]:
    """Write the index, remove blobs that nothing reaches any more, and move such layers to the trash; return their keys."""
    gone, alive = _reach(store, [one for one in before if one not in kept]), _reach(store, kept)
    store.layout.replace_descriptors(kept)
    for digest in gone.blobs - alive.blobs:
        _remove_file(store.layout.blob_path(digest))
    keys = sorted(gone.layer_keys - alive.layer_keys)
    os.makedirs(store.locations.trash, 0o700, exist_ok=True)
    for key in keys:
        folder = layers.folder_of(store.locations, key)
        if os.path.exists(folder):
            trashed = f"{_TRASHED}{os.path.basename(folder)}-{secrets.token_hex(4)}"
            os.rename(folder, f"{store.locations.trash}/{trashed}")
    return keys


class _Reach(NamedTuple):
    """Digests of blobs and keys of unpacked layers."""

    blobs: set[str]
    layer_keys: set[str]


def _reach(store: ImageStore, descriptors: list[Descriptor]) -> _Reach:
    reach = _Reach(set(), set())
    for descriptor in descriptors:
        reach.blobs.update([str(descriptor["digest"]), *_sources_of(store, descriptor)])
        try:
            image = store.image_of(descriptor)
        except CorruptImage:  # what cannot be read reaches nothing, and must be removable
            continue
        manifest = parse_manifest(image.manifest)
        reach.blobs.update([image.manifest_digest, image.id, *(layer.digest for layer in manifest.layers)])
        reach.layer_keys.update(image.layer_keys)
    return reach


def _sources_of(store: ImageStore, descriptor: Descriptor) -> Iterator[str]:
    """Yield the blobs that a registry gave for a name: an index or Docker's manifest, and what the index has of this image."""
    digest = annotation(descriptor, SOURCE_DIGEST)
    if digest is None or not store.layout.has_blob(digest):
        return
    yield digest
    for listed in store.layout.read_document(digest).get("manifests", []):
        if store.layout.has_blob(blob_of(listed, "the index's manifest").digest):
            yield str(listed["digest"])


def _remove_file(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:  # a repaired or half removed store: the aim is reached
        return


def _empty_trash(locations: Locations) -> None:
    """Delete the trashed layers, also those of a process that was killed, in the parent namespace: they have subordinate IDs."""
    trees = [f"{locations.trash}/{name}" for name in os.listdir(locations.trash) if name.startswith(_TRASHED)]
    if trees:
        run_in_parent(locations, _remove_trees, trees)


def _remove_trees(trees: list[str]) -> None:
    for tree in trees:
        remove_tree(tree)


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]

