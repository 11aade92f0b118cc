"""Removing images and names (`rl rmi`), with what nothing else reaches: blobs and unpacked layers."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from rootless import events
from rootless.errors import InUse, RlError
from rootless.images import mounted, reference
from rootless.images.layout import REF_NAME, SOURCE_DIGEST, Descriptor, annotation
from rootless.images.reach import Reach, configs_of, reach_of
from rootless.images.store import ImageStore, no_such_image, unnamed
from rootless.images.sweep import empty_trash, leave_index
from rootless.locations import Locations

UsersOf = Callable[[str], list[str]]


class Removed(NamedTuple):
    """What was done, as Docker says it: familiar names, then the image's ID and the keys of its layers."""

    untagged: tuple[str, ...]
    deleted: tuple[str, ...]


def remove(locations: Locations, name: str, users_of: UsersOf, *, force: bool = False, whole: bool = False) -> Removed:
    """Remove what one name means, as `remove_all`. Raises `NoSuchObject`, `InUse`, `InvalidInput`."""
    (outcome,) = remove_all(locations, [name], users_of, force=force, whole=whole)
    if isinstance(outcome, RlError):
        raise outcome
    return outcome


def remove_all(
    locations: Locations, names: Iterable[str], users_of: UsersOf, *, force: bool = False, whole: bool = False
) -> "list[Removed | RlError]":
    """Remove what each of `names` means: a name, and with its last name the image; by ID the image with all its names.

    All go in one change of the index, so that many take no longer than few. The result has for each what went, or the error that
    kept it: `NoSuchObject`, `InUse`, `InvalidInput`. `users_of` returns the IDs of the containers that use the image with an ID.
    With `whole` all of the image's names go, too. By `force` an image with several repositories goes by its ID, and one in use
    loses its names but keeps its data. The caller is single-threaded.
    """
    store = ImageStore(locations)
    store.layout.prepare()
    with store.layout.locked():
        removal = _Removal(store, users_of, force=force, whole=whole)
        outcomes = [removal.try_to_remove(name) for name in names]
        removed = removal.finish(outcomes)
    _note(locations, outcomes, removed)
    empty_trash(locations)
    return removed


def _note(locations: Locations, outcomes: "list[_Gone | RlError]", removed: "list[Removed | RlError]") -> None:
    """Add to the log of events what went."""
    for outcome, one in zip(outcomes, removed, strict=True):
        if isinstance(outcome, _Gone) and isinstance(one, Removed):
            for name in one.untagged:
                events.emit(locations, "image", "untag", outcome.image_id, {"name": name})
            if one.deleted:
                events.emit(locations, "image", "delete", outcome.image_id, {"name": outcome.image_id})


class _Removal:
    """Removals one after the other from the entries of the index, which is written once; all under the store's lock."""

    def __init__(self, store: ImageStore, users_of: UsersOf, *, force: bool, whole: bool) -> None:
        self._store = store
        self._users_of = users_of
        self._force = force
        self._whole = whole
        self._entries = store.layout.descriptors()
        self._mounted = mounted.mounted_ids(store.locations)

    def try_to_remove(self, name: str) -> "_Gone | RlError":
        try:
            return self._remove(name)
        except RlError as error:
            return error

    def finish(self, outcomes: "list[_Gone | RlError]") -> "list[Removed | RlError]":
        """Write the index, with that discard what nothing reaches any more, and say of each removal what went with it."""
        if not any(isinstance(one, _Gone) for one in outcomes):
            return [one for one in outcomes if isinstance(one, RlError)]
        alive = reach_of(self._store, self._entries)
        reached = [reach_of(self._store, one.entries) if isinstance(one, _Gone) else Reach(set(), set()) for one in outcomes]
        blobs = set[str]().union(*(one.blobs for one in reached)) - alive.blobs
        keys = set[str]().union(*(one.layer_keys for one in reached)) - alive.layer_keys
        unpacked = set(leave_index(self._store, self._entries, Reach(blobs, keys)).layer_keys)
        removed: list[Removed | RlError] = []
        for outcome, reach in zip(reversed(outcomes), reversed(reached), strict=True):  # a layer goes with the last that has it
            if isinstance(outcome, RlError):
                removed.append(outcome)
                continue
            went = sorted(unpacked & reach.layer_keys)
            unpacked.difference_update(went)
            removed.append(Removed(outcome.untagged, (outcome.image_id, *went) if outcome.is_whole else ()))
        return removed[::-1]

    def _remove(self, name: str) -> "_Gone":
        store = self._store
        chosen = store.find_descriptor(self._entries, name)
        if chosen is None:
            raise no_such_image(name)
        image_id = store.image_id(chosen)
        own = [one for one in self._entries if store.image_id(one) == image_id]
        leaving = _leaving(name, chosen, own, image_id, force=self._force, whole=self._whole)
        kept = [one for one in self._entries if one not in leaving]
        is_whole = len(leaving) == len(own)
        is_used = is_whole and self._is_used(name, image_id, leaving, kept)
        untagged = untagged_names(leaving, own)
        if is_used:
            kept.append(unnamed(leaving[0]))
        self._entries = kept
        return _Gone(image_id, untagged, [] if is_used else leaving, is_whole and not is_used)

    def _is_used(self, name: str, image_id: str, leaving: list[Descriptor], kept: list[Descriptor]) -> bool:
        """Tell whether containers or mounts use an image that goes; for an image list, those of images that only the list has.

        Raises `InUse` unless by force.
        """
        staying = {self._store.image_id(one) for one in kept}
        image_ids = dict.fromkeys(found for one in leaving for found in configs_of(self._store, one) if found not in staying)
        users = next((users for one in image_ids if (users := self._users_of(one))), [])
        is_mounted = any(mounted.short_id(one) in self._mounted for one in image_ids)
        if self._force or not (users or is_mounted):
            return bool(users) or is_mounted
        text = f"conflict: unable to remove {name!r} (must be forced): "
        if users:
            raise InUse(
                f"{text}container {users[0][:12]} uses image {_short(image_id)}",
                f"`rl rm {users[0][:12]}` first, or `rl rmi -f` to remove only the names",
            )
        hint = "`rl image unmount` it there or leave that shell, or `rl rmi -f` to remove only the names"
        raise InUse(f"{text}image {_short(image_id)} is mounted in `rl unshare`", hint)


class _Gone(NamedTuple):
    """Entries that have left the index with their data, none where it stays; `is_whole` says whether the image is gone."""

    image_id: str
    untagged: tuple[str, ...]
    entries: list[Descriptor]
    is_whole: bool


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
