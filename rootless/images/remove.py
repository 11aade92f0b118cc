"""Removing images and names (`rl rmi`), with what nothing else reaches: blobs and unpacked layers."""

from collections.abc import Callable
from typing import NamedTuple

from rootless.errors import InUse
from rootless.images import reference
from rootless.images.layout import REF_NAME, SOURCE_DIGEST, Descriptor, annotation
from rootless.images.reach import Reach, configs_of, reach_of
from rootless.images.store import ImageStore, no_such_image, without
from rootless.images.sweep import discard, empty_trash
from rootless.locations import Locations

UsersOf = Callable[[str], list[str]]


class Removed(NamedTuple):
    """What was done, as Docker says it: familiar names, then the image's ID and the keys of its layers."""

    untagged: tuple[str, ...]
    deleted: tuple[str, ...]


def remove(locations: Locations, name: str, users_of: UsersOf, *, force: bool = False, whole: bool = False) -> Removed:
    """Remove what `name` means: a name, and with its last name the image; by ID the image with all its names.

    `users_of` returns the IDs of the containers that use the image with an ID. With `whole` all of the image's names go, too. By
    `force` an image with several repositories goes by its ID, and one in use loses its names but keeps its data. The caller
    is single-threaded. Raises `NoSuchObject`, `InUse`.
    """
    store = ImageStore(locations)
    store.layout.prepare()
    with store.layout.locked():
        descriptors = store.layout.descriptors()
        chosen = store.find_descriptor(descriptors, name)
        if chosen is None:
            raise no_such_image(name)
        image_id = store.image_id(chosen)
        own = [one for one in descriptors if store.image_id(one) == image_id]
        leaving = _leaving(name, chosen, own, image_id, force=force, whole=whole)
        kept = [one for one in descriptors if one not in leaving]
        users = _users(store, leaving, kept, users_of) if len(leaving) == len(own) else []
        if users and not force:
            raise InUse(
                f"conflict: unable to remove {name!r} (must be forced): container {users[0][:12]} uses image {_short(image_id)}",
                f"`rl rm {users[0][:12]}` first, or `rl rmi -f` to remove only the names",
            )
        untagged = untagged_names(leaving, own)
        if users:
            kept.append(without(leaving[0], REF_NAME, SOURCE_DIGEST))
            store.layout.replace_descriptors(kept)
            return Removed(untagged, ())
        store.layout.replace_descriptors(kept)
        gone, alive = reach_of(store, leaving), reach_of(store, kept)
        swept = discard(store, Reach(gone.blobs - alive.blobs, gone.layer_keys - alive.layer_keys))
    empty_trash(locations)
    return Removed(untagged, (image_id, *swept.layer_keys) if len(leaving) == len(own) else ())


def _users(store: ImageStore, leaving: list[Descriptor], kept: list[Descriptor], users_of: UsersOf) -> list[str]:
    """Return the containers of an image that goes; for an image list, those of images that only the list has."""
    staying = {store.image_id(one) for one in kept}
    image_ids = dict.fromkeys(image_id for one in leaving for image_id in configs_of(store, one) if image_id not in staying)
    return [user for image_id in image_ids for user in users_of(image_id)]


def _leaving(name: str, chosen: Descriptor, own: list[Descriptor], image_id: str, *, force: bool, whole: bool) -> list[Descriptor]:
    """Return the entries that go: one name, or all of the image where `name` is an ID."""
    if whole:
        return own
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


def untagged_names(leaving: list[Descriptor], own: list[Descriptor]) -> tuple[str, ...]:
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


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
