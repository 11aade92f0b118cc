"""Image lists (OCI image-index.md) that the user makes (`rl manifest`): kept in the layout as indexes under their names."""

import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rootless.errors import InUse, InvalidInput, NoSuchObject
from rootless.images import media_types, reference
from rootless.images.additions import adding
from rootless.images.blobs import write_blob
from rootless.images.layout import IMAGE_ID, REF_NAME, UNPACKED_SIZE, Descriptor, Layout, annotation
from rootless.images.reach import Reach, reach_of
from rootless.images.store import CREATED, ImageStore, add_name, is_list
from rootless.images.sweep import discard, empty_trash
from rootless.locations import Locations

Index = dict[str, Any]


class Changes(NamedTuple):
    """What `add` and `annotate` set of an instance; None leaves it as it is."""

    os: str | None = None
    architecture: str | None = None
    variant: str | None = None
    annotations: Mapping[str, str] = {}

    def apply(self, instance: Descriptor) -> Descriptor:
        """Return a descriptor with the changes in it."""
        given = {"os": self.os, "architecture": self.architecture, "variant": self.variant}
        platform = {**instance.get("platform", {}), **{key: value for key, value in given.items() if value is not None}}
        changed = {**instance, "platform": platform}
        if self.annotations:
            changed["annotations"] = {**instance.get("annotations", {}), **self.annotations}
        return changed


def create(locations: Locations, name: str, instances: list[Descriptor], *, amend: bool = False) -> str:
    """Make a list and return its ID; with `amend` an existing one gets the instances. Raises `InUse`, `InvalidInput`."""
    target = reference.parse_new(name, "a list")
    store = ImageStore(locations)
    store.layout.prepare()
    existing = store.find_descriptor(store.layout.descriptors(), target.name)
    if existing is None or annotation(existing, REF_NAME) != target.name:
        index = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": _merged([], instances)}
        with adding(locations):
            return _store(store, target.name, index)
    if not amend:
        raise InUse(f"the name {name} is already in use by an image", "choose another name, or use --amend for a list")
    return change(locations, name, lambda index: {**index, "manifests": _merged(index["manifests"], instances)})


def find(locations: Locations, name: str) -> tuple[Descriptor, Index]:
    """Return a list's entry of the index, and its content. Raises `NoSuchObject` where the name is no list's."""
    layout = Layout(locations)
    entry = ImageStore(locations).find_descriptor(layout.descriptors(), name)
    if entry is None or not is_list(entry):
        raise NoSuchObject(f"No such manifest list: {name}", "`rl manifest create` makes one")
    return entry, layout.read_document(str(entry["digest"]))


def change(locations: Locations, name: str, edit: Callable[[Index], Index]) -> str:
    """Give a list the content that `edit` makes of its own; return its new ID. The caller is single-threaded."""
    store = ImageStore(locations)
    with adding(locations):
        entry, index = find(locations, name)
        own_name = annotation(entry, REF_NAME)
        if own_name is None:
            raise InvalidInput(f"the list {name} has no name", "give it one with `rl tag`")
        list_id = _store(store, own_name, edit(index))
    _forget(store, entry)
    return list_id


def instances_of(store: ImageStore, entry: Descriptor) -> list[Descriptor]:
    """Return the descriptors that an image, or a list, of the store has in a list."""
    if is_list(entry):
        listed: list[Descriptor] = store.layout.read_document(str(entry["digest"]))["manifests"]
        return listed
    image = store.image_of(entry)
    config = image.config
    with open(store.layout.blob_path(image.manifest_digest), "rb") as blob:
        size = len(blob.read())
    media_type = str(image.manifest.get("mediaType") or media_types.OCI_MANIFEST)
    return [described(media_type, image.manifest_digest, size, config)]


def described(media_type: str, digest: str, size: int, config: Mapping[str, Any]) -> Descriptor:
    """Return a manifest's descriptor with the platform that its config tells."""
    platform = {key: str(config[key]) for key in ("architecture", "os", "variant") if config.get(key)}
    return {"mediaType": media_type, "digest": digest, "size": size, "platform": platform}


def chosen(index: Index, digests: set[str], what: str) -> list[Descriptor]:
    """Return the instances of a list with one of the digests. Raises `NoSuchObject`."""
    found = [one for one in index["manifests"] if one["digest"] in digests]
    if not found:
        raise NoSuchObject(f"{what} is not in the list", "`rl manifest inspect` shows what is")
    return found


def added(index: Index, instances: list[Descriptor]) -> Index:
    """Return a list's content with more instances; one that is in it already is replaced."""
    return {**index, "manifests": _merged(index["manifests"], instances)}


def _merged(old: list[Descriptor], new: list[Descriptor]) -> list[Descriptor]:
    return list({str(one["digest"]): one for one in (*old, *new)}.values())


def _store(store: ImageStore, name: str, index: Index) -> str:
    content = json.dumps(index, separators=(",", ":")).encode()
    digest = write_blob(store.layout, content)
    created = datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
    annotations = {IMAGE_ID: digest, UNPACKED_SIZE: str(len(content)), CREATED: created}
    entry = {"mediaType": media_types.OCI_INDEX, "digest": digest, "size": len(content), "annotations": annotations}
    with store.layout.locked():
        descriptors = [one for one in store.layout.descriptors() if not (is_list(one) and annotation(one, REF_NAME) == name)]
        add_name(descriptors, entry, name)
        store.layout.replace_descriptors(descriptors)
    return digest


def _forget(store: ImageStore, old: Descriptor) -> None:
    """Remove what only the old content of a list reached."""
    with store.layout.locked():
        gone, alive = reach_of(store, [old]), reach_of(store, store.layout.descriptors())
        discard(store, Reach(gone.blobs - alive.blobs, gone.layer_keys - alive.layer_keys))
    empty_trash(store.locations)
