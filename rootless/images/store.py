"""Finding, listing, adding and naming images in the content store; what `rl run` reads of an image (a few small files)."""

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rootless import events
from rootless.errors import CorruptImage, InvalidInput, NoSuchObject
from rootless.images import layers, media_types, reference
from rootless.images.layout import IMAGE_ID, ORIGIN_DIGEST, REF_NAME, SOURCE_DIGEST, UNPACKED_SIZE, Descriptor, Layout, annotation
from rootless.images.manifest import Blob, diff_ids_of, parse_manifest
from rootless.locations import Locations

CREATED = "org.opencontainers.image.created"  # image-spec annotations.md; noted so that listing images reads no configs


class Image(NamedTuple):
    """An image of the store.

    `id` is the config's digest; `names` are whole names (`docker.io/library/alpine:latest`), `repo_digests` names with
    the digest that the registry gave; `layer_keys` are bottom first; `size` is the bytes of all unpacked files;
    `created` is RFC 3339 text or "".
    """

    id: str
    names: tuple[str, ...]
    repo_digests: tuple[str, ...]
    manifest_digest: str
    manifest: dict[str, Any]
    config: dict[str, Any]
    diff_ids: tuple[str, ...]
    layer_keys: tuple[str, ...]
    size: int
    created: str


class NewImage(NamedTuple):
    """What `ImageStore.add` needs: `id` and `blobs` are digests, `source_digest` what a registry gave, `size` bytes unpacked."""

    id: str
    manifest: Blob
    blobs: tuple[str, ...]
    layer_keys: tuple[str, ...]
    size: int
    source_digest: str | None


class ImageStore:
    """The images of one user. Reading takes no lock; each change is one replacement of index.json under the store's lock."""

    def __init__(self, locations: Locations) -> None:
        self.locations = locations
        self.layout = Layout(locations)

    def find(self, name: str) -> Image | None:
        """Return the image that `name` means, or None.

        Tried in order: a whole ID; a name by Docker's rules, then under `localhost/`, then, for a short name, in any
        registry where it is the whole path; a prefix of an ID. Raises `InvalidInput` where a prefix has several
        meanings or a name is malformed.
        """
        while True:
            descriptors = self.layout.descriptors()
            descriptor = self.find_descriptor(descriptors, name)
            if descriptor is None:
                return None
            try:
                return self._image(descriptor, descriptors)
            except CorruptImage:
                if descriptor in self.layout.descriptors():
                    raise
                # It was removed between the index and what that names: we look again.

    def get(self, name: str) -> Image:
        """Return the image that `name` means. Raises `NoSuchObject`."""
        image = self.find(name)
        if image is None:
            raise no_such_image(name)
        return image

    def find_descriptor(self, descriptors: list[Descriptor], name: str) -> Descriptor | None:
        """Return the descriptor in `descriptors` that `name` means, by the rules of `find`, or None."""
        as_id = name.removeprefix("sha256:")
        whole_id = f"sha256:{as_id}" if len(as_id) == 64 and reference.may_be_id(name) else None
        if whole_id:
            return next((found for found in descriptors if self.image_id(found) == whole_id), None)
        if not name.startswith("sha256:"):
            found = _by_name(descriptors, name)
            if found is not None:
                return found
        return self._by_prefix(descriptors, name) if reference.may_be_id(name) else None

    def image_id(self, descriptor: Descriptor) -> str:
        """Return the ID of a descriptor's image: from our annotation, or from the manifest where another tool wrote the index."""
        noted = annotation(descriptor, IMAGE_ID)
        return noted if noted is not None else parse_manifest(self._manifest(descriptor)[1]).config.digest

    def by_id(self) -> dict[str, list[Descriptor]]:
        """Return the entries of the index by their images' IDs, in its order."""
        entries: dict[str, list[Descriptor]] = {}
        for descriptor in self.layout.descriptors():
            entries.setdefault(self.image_id(descriptor), []).append(descriptor)
        return entries

    def tag(self, name: str, new_name: str) -> None:
        """Give an image one more name; an image that had it loses it (Docker's `tag`). Raises `NoSuchObject`, `InvalidInput`."""
        target = reference.parse(new_name)
        if target.digest is not None:
            raise InvalidInput(f"cannot tag with a digest: {new_name!r}", "give NAME[:TAG]")
        self.layout.prepare()
        with self.layout.locked():
            descriptors = self.layout.descriptors()
            source = self.find_descriptor(descriptors, name)
            if source is None:
                raise no_such_image(name)
            add_name(descriptors, unnamed(source), target.name)
            self.layout.replace_descriptors(descriptors)
            self.note("tag", self.image_id(source), target.name)

    def note(self, action: str, actor: str, name: str) -> None:
        """Add to the log of events what happened to an image; `actor` is its ID, or a whole name as `name` is."""
        shown = reference.familiar_name(name)
        events.emit(self.locations, "image", action, shown if actor == name else actor, {"name": shown})

    def untag(self, name: str, names: Sequence[str] = ()) -> None:
        """Take names from an image, all where none is given; without a name it stays until it is pruned.

        Raises `NoSuchObject` for no image, or for what is no name of it, and `InvalidInput`; nothing is changed then.
        """
        self.layout.prepare()
        with self.layout.locked():
            descriptors = self.layout.descriptors()
            source = self.find_descriptor(descriptors, name)
            if source is None:
                raise no_such_image(name)
            image_id = self.image_id(source)
            own = [one for one in descriptors if self.image_id(one) == image_id]
            found = [_by_name(own, one) for one in names]
            for given, entry in zip(names, found, strict=True):
                if entry is None:
                    text = f"{given} is no name of the image {name}"
                    raise NoSuchObject(text, f"it has: {', '.join(names_of(own)) or 'none'}")
            leaving = [entry for entry in found if entry is not None] or own
            kept = [one for one in descriptors if one not in leaving]
            if all(one in leaving for one in own):
                kept.append(unnamed(source))
            self.layout.replace_descriptors(kept)
            for left in names_of(leaving):
                self.note("untag", image_id, left)

    def add(self, added: NewImage, name: str | None) -> bool:
        """Put an image into the index under `name` (a whole name, or None); False where a blob or layer of it has vanished.

        That happens where another process removed an image that shared them; the caller gets them again.
        """
        with self.layout.locked():
            if not all(self.layout.has_blob(digest) for digest in added.blobs):
                return False
            if not all(layers.is_unpacked(self.locations, key) for key in added.layer_keys):
                return False
            annotations = {IMAGE_ID: added.id, UNPACKED_SIZE: str(added.size)}
            created = self.layout.read_document(added.id).get("created")
            if isinstance(created, str):
                annotations[CREATED] = created
            if added.source_digest:
                annotations[SOURCE_DIGEST] = added.source_digest
            descriptors = self.layout.descriptors()
            add_name(descriptors, _descriptor_of(added, annotations), name)
            self.layout.replace_descriptors(descriptors)
        return True

    def added(self, new: NewImage) -> Image:
        """Return an image that has been added, also when another process has removed it already; `additions` keeps its blobs."""
        return self.find(new.id) or self.image_of(_descriptor_of(new, {IMAGE_ID: new.id, UNPACKED_SIZE: str(new.size)}))

    def image_of(self, descriptor: Descriptor) -> Image:
        """Return the image of one descriptor, with no other names than its own. Raises `CorruptImage`."""
        return self._image(descriptor, [descriptor])

    def _by_prefix(self, descriptors: list[Descriptor], prefix: str) -> Descriptor | None:
        wanted = prefix if prefix.startswith("sha256:") else f"sha256:{prefix}"
        found = {self.image_id(one): one for one in descriptors if self.image_id(one).startswith(wanted)}
        if len(found) > 1:
            raise InvalidInput(f"{prefix!r} is the beginning of {len(found)} image IDs", "give more digits, or a name")
        return next(iter(found.values()), None)

    def _manifest(self, descriptor: Descriptor) -> tuple[str, dict[str, Any]]:
        """Return digest and content of a descriptor's manifest; of an index (another tool's) the one for this machine."""
        digest = descriptor.get("digest")
        if not isinstance(digest, str) or not reference.is_digest(digest):
            raise CorruptImage(f"index.json has an invalid digest: {digest!r:.100}")
        document = self.layout.read_document(digest)
        if descriptor.get("mediaType") in media_types.INDEXES:
            from rootless.images import platform  # only for a layout that another tool wrote

            digest = platform.choose(document, platform.of_machine()).digest
            document = self.layout.read_document(digest)
        return digest, document

    def _image(self, descriptor: Descriptor, descriptors: list[Descriptor]) -> Image:
        digest, document = self._manifest(descriptor)
        manifest = parse_manifest(document)
        config = self.layout.read_document(manifest.config.digest)
        diff_ids = diff_ids_of(config, len(manifest.layers))
        image_id = manifest.config.digest
        siblings = [one for one in descriptors if one is descriptor or self.image_id(one) == image_id]
        noted = annotation(descriptor, UNPACKED_SIZE)
        return Image(
            id=image_id,
            names=names_of(siblings),
            repo_digests=repo_digests(siblings),
            manifest_digest=digest,
            manifest=document,
            config=config,
            diff_ids=diff_ids,
            layer_keys=layers.keys_of(self.locations, diff_ids),
            size=int(noted) if noted and noted.isdecimal() else sum(layer.size for layer in manifest.layers),
            created=str(config.get("created") or ""),
        )

    def list(self) -> list[Image]:
        """Return all images, each once, in the order of the index; image lists are not among them."""
        return [self._image(own[0], own) for own in self.by_id().values() if not is_list(own[0])]


def is_list(descriptor: Descriptor) -> bool:
    """Tell whether an entry is an image list of ours (`rl manifest`): its ID is its own digest."""
    return annotation(descriptor, IMAGE_ID) == descriptor.get("digest") and descriptor.get("mediaType") in media_types.INDEXES


def names_of(descriptors: Iterable[Descriptor]) -> tuple[str, ...]:
    """Return the names with tags of one image's entries."""
    return tuple(name for one in descriptors if (name := annotation(one, REF_NAME)) and "@" not in name)


def layer_folders(locations: Locations, image: Image) -> list[str]:
    """Return the absolute paths of an image's unpacked layers, topmost first.

    Layers that are missing (somebody removed them) are unpacked again from their blobs, in a worker: the caller is
    single-threaded.
    """
    folders = [f"{layers.folder_of(locations, key)}/{layers.TREE}" for key in reversed(image.layer_keys)]
    if all(os.path.exists(folder) for folder in folders):
        return folders
    from rootless.images.unpack_image import unpack_image  # only to repair

    keys = unpack_image(locations, image.manifest, image.config).keys
    return [f"{layers.folder_of(locations, key)}/{layers.TREE}" for key in reversed(keys)]


def add_name(descriptors: list[Descriptor], added: Descriptor, name: str | None) -> None:
    """Give `added`'s image `name` in the list of descriptors, in place.

    Another image that had the name keeps its entry without it: under its repository and digest where a registry gave
    one, else unnamed.
    """
    digest = added["digest"]
    if name is None:
        if all(one.get("digest") != digest for one in descriptors):
            descriptors.insert(0, added)
        return
    kept = [moved for one in descriptors if (moved := _without_name(one, name, digest)) is not None]
    descriptors[:] = [one for one in kept if one.get("digest") != digest or annotation(one, REF_NAME)]
    descriptors.insert(0, {**added, "annotations": {**added.get("annotations", {}), REF_NAME: name}})


def repo_digests(descriptors: list[Descriptor]) -> tuple[str, ...]:
    """Return `repository@digest` for each name that came from a registry, each once."""
    found: dict[str, None] = {}
    for descriptor in descriptors:
        name, digest = annotation(descriptor, REF_NAME), annotation(descriptor, SOURCE_DIGEST)
        if name and digest:
            found[f"{reference.split_name(name)[0]}@{digest}"] = None
    return tuple(found)


def without(descriptor: Descriptor, *keys: str) -> Descriptor:
    """Return a copy of a descriptor without some annotations."""
    annotations = {key: value for key, value in descriptor.get("annotations", {}).items() if key not in keys}
    return {**descriptor, "annotations": annotations}


def unnamed(descriptor: Descriptor) -> Descriptor:
    """Return a copy of a descriptor without its name; the digest that a registry gave is not for another, but is kept."""
    bare = without(descriptor, REF_NAME, SOURCE_DIGEST)
    digest = next(iter(sources_of([descriptor])), None)
    return bare if digest is None else {**bare, "annotations": {**bare["annotations"], ORIGIN_DIGEST: digest}}


def sources_of(descriptors: Iterable[Descriptor]) -> list[str]:
    """Return the digests of manifests, or indexes, with which images came from registries, each once."""
    keys = (SOURCE_DIGEST, ORIGIN_DIGEST)
    return list(dict.fromkeys(digest for one in descriptors for key in keys if (digest := annotation(one, key))))


def no_such_image(name: str) -> NoSuchObject:
    """Return the error for a name that no local image has."""
    return NoSuchObject(f"No such image: {name}", "`rl images` lists what there is; `rl pull` gets one from a registry")


def _descriptor_of(added: NewImage, annotations: dict[str, str]) -> Descriptor:
    blob = added.manifest
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size, "annotations": annotations}


def _without_name(descriptor: Descriptor, name: str, new_digest: str) -> Descriptor | None:
    if annotation(descriptor, REF_NAME) != name:
        return descriptor
    if descriptor.get("digest") == new_digest:
        return None  # the same image again: the new entry replaces this one
    digest = annotation(descriptor, SOURCE_DIGEST)
    if digest is None:
        return without(descriptor, REF_NAME)
    by_digest = f"{reference.split_name(name)[0]}@{digest}"
    return {**descriptor, "annotations": {**descriptor["annotations"], REF_NAME: by_digest}}


def _by_name(descriptors: list[Descriptor], name: str) -> Descriptor | None:
    try:
        wanted = reference.parse(name)
    except InvalidInput:
        if reference.may_be_id(name):
            return None
        raise
    named = {noted: one for one in reversed(descriptors) if (noted := annotation(one, REF_NAME))}
    candidates = [wanted.name]
    if reference.is_short(name):
        plain = wanted.path.removeprefix("library/")
        local = wanted.with_repository(f"localhost/{plain}").name
        elsewhere = [noted for noted in named if _is_short_for(noted, wanted.with_repository(f"any/{plain}").name)]
        candidates += [local, *elsewhere]
    for candidate in candidates:
        if candidate in named:
            return named[candidate]
    return _by_digest(descriptors, wanted) if wanted.digest else None


def _is_short_for(noted: str, wanted: str) -> bool:
    """Tell whether a kept name is `wanted` (`any/PATH:TAG`) in some registry."""
    domain, _, rest = noted.partition("/")
    return f"any/{rest}" == wanted and domain != "localhost"


def _by_digest(descriptors: list[Descriptor], wanted: reference.Reference) -> Descriptor | None:
    """`name@digest`: the digest is the one that the registry gave, or the manifest's own; the repository must match."""
    for descriptor in descriptors:
        name = annotation(descriptor, REF_NAME)
        digests = (descriptor.get("digest"), annotation(descriptor, SOURCE_DIGEST))
        if name and wanted.digest in digests and reference.split_name(name)[0] == wanted.repository:
            return descriptor
    return None
