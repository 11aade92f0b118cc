"""Removing the volumes that no container has: what `rl volume prune` and `rl system prune --volumes` share."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

from cli.volume_rows import labels_fit
from rootless.containers.volume_users import users_of_volumes
from rootless.errors import InUse, NoSuchObject
from rootless.locations import Locations
from rootless.storage import trash, unfinished
from rootless.storage.usage import tree_sizes
from rootless.storage.volumes import Volume, VolumeStore

ANONYMOUS_VOLUMES = "all anonymous volumes not used by at least one container"
ALL_VOLUMES = "all volumes not used by at least one container"


class Pruned(NamedTuple):
    """Names of the volumes that went, and their bytes."""

    names: list[str]
    size: int


def prune_volumes(locations: Locations, wanted: Mapping[str, Sequence[str]], *, everything: bool) -> Pruned:
    """Remove unused volumes that `label` and `label!` let pass: anonymous ones, or all. The caller is single-threaded."""
    store = VolumeStore(locations)
    users_of = partial(users_of_volumes, locations)

    def may_go(volume: Volume) -> bool:
        return (everything or volume.is_anonymous) and labels_fit(volume.labels, wanted)

    used = users_of()
    chosen = [volume for volume in store.list() if volume.name not in used and may_go(volume)]
    sizes = dict(zip([one.name for one in chosen], tree_sizes(locations, [volume.mountpoint for volume in chosen]), strict=True))
    removed = []
    for volume in chosen:
        try:
            trashed = store.remove(volume.name, users_of, may_go)
        except (InUse, NoSuchObject):  # somebody has just taken, or removed it
            continue
        if trashed is not None:
            trash.delete(locations, trashed)
            removed.append(volume)
    unfinished.discard_old(locations.volumes)
    return Pruned([volume.name for volume in removed], sum(sizes[volume.name] for volume in removed))
