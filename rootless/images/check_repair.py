"""Repairing what `check` found: see there for what is removed, unpacked again, or left to the user."""

import os
import secrets
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from rootless.errors import RlError, os_error_text
from rootless.images import additions, layers
from rootless.images.check import Holder, Problem, identity_of
from rootless.images.check_references import References, check_references
from rootless.images.store import ImageStore
from rootless.images.sweep import empty_trash
from rootless.images.unpack_image import remove_leftovers, unpack_image
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent

_TRASHED: Final = "layer-"  # what `sweep.empty_trash` deletes


class Repaired(NamedTuple):
    """One problem and what was done about it; `is_right` says whether nothing more is needed."""

    problem: Problem
    text: str
    is_right: bool


def repair(locations: Locations, problems: Iterable[Problem], holders: Callable[[], Iterable[Holder]]) -> list[Repaired]:
    """Remove what is broken, and unpack layers again; `holders` returns the containers as they are when it is called.

    The caller is single-threaded.
    """
    found = list(problems)
    if any(one.kind == "index" for one in found):
        return [Repaired(one, "move it away, and pull the images again", is_right=False) for one in found]
    store = ImageStore(locations)
    store.layout.prepare()
    with store.layout.locked(), additions.nobody_adds(locations) as alone:
        if not alone:
            return [Repaired(one, "left alone while an image is being added: try again", is_right=False) for one in found]
        # The check may have taken long: containers were started, and what was damaged was replaced.
        busy = _running_users(locations, holders())
        replaced = {one for one in found if one.kind != "image" and identity_of(_path_of(store, one)) != one.identity}
        for one in found:
            if one in replaced:
                continue
            if one.kind == "blob":
                _remove_blob(store, one.name)
            elif one.kind == "layer" and one.name not in busy:
                _throw_away(locations, one.name)
        references = check_references(store)
        _remove_entries(store, references)
    done = [
        Repaired(one, "replaced meanwhile", is_right=True) if one in replaced else _repaired(store, references, one, busy)
        for one in found
    ]
    if os.path.isdir(locations.layers):
        run_in_parent(locations, remove_leftovers, locations)
    empty_trash(locations)
    return done


def _repaired(store: ImageStore, references: References, problem: Problem, busy: dict[str, str]) -> Repaired:
    if problem.kind == "image":
        return Repaired(problem, f"removed from the index: pull {problem.name} again", is_right=False)
    if problem.kind == "blob":
        again = " and ".join(problem.users)
        return Repaired(problem, f"removed: pull {again} again" if again else "removed", is_right=not again)
    if problem.name in busy:
        text = f"left alone: container {busy[problem.name]} runs with it; stop that and try again"
        return Repaired(problem, text, is_right=False)
    if not problem.users:
        return Repaired(problem, "removed", is_right=True)
    return _unpack_again(store, references, problem)


def _unpack_again(store: ImageStore, references: References, problem: Problem) -> Repaired:
    failure = "no image has it"
    for image in references.images:
        if problem.name in _folders(store.locations, image.layer_keys):
            try:
                unpack_image(store.locations, image.manifest, image.config)
            except RlError as error:
                failure = error.message
            except OSError as error:
                failure = os_error_text(error)
            else:
                return Repaired(problem, "unpacked again", is_right=True)
    again = " and ".join(user for user in problem.users if not user.startswith("container "))
    advice = f"pull {again} again" if again else "pull the image again from which the container was made"
    return Repaired(problem, f"removed, and cannot be unpacked again ({failure}): {advice}", is_right=False)


def _path_of(store: ImageStore, problem: Problem) -> str:
    return store.layout.blob_path(problem.name) if problem.kind == "blob" else f"{store.locations.layers}/{problem.name}"


def _remove_blob(store: ImageStore, digest: str) -> None:
    path = store.layout.blob_path(digest)
    if os.path.lexists(path):  # we hold the lock under which others remove
        os.unlink(path)


def _throw_away(locations: Locations, name: str) -> None:
    folder = f"{locations.layers}/{name}"
    if os.path.lexists(folder):
        os.makedirs(locations.trash, 0o700, exist_ok=True)
        os.rename(folder, f"{locations.trash}/{_TRASHED}{name}-{secrets.token_hex(4)}")


def _remove_entries(store: ImageStore, references: References) -> None:
    """Take entries out of the index that stand for no image any more: reading them would fail."""
    broken = [one.descriptor for one in references.broken]
    if broken:
        store.layout.replace_descriptors([one for one in store.layout.descriptors() if one not in broken])


def _running_users(locations: Locations, holders: Iterable[Holder]) -> dict[str, str]:
    """Return the folders' names of layers that running containers have mounted, with the name of one."""
    return {
        name: holder.name for holder in holders if holder.is_running for name in _folders(locations, holder.layer_keys)
    }


def _folders(locations: Locations, keys: Iterable[str]) -> list[str]:
    return [os.path.basename(layers.folder_of(locations, key)) for key in keys]
