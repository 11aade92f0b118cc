"""Putting the mounts that a user asks for into a new container's record. Loaded where there are any."""

import contextlib
from collections.abc import Iterator
from typing import Any

from rootless.containers.documents import Document
from rootless.containers.mount_request import TMPFS, MountRequest
from rootless.containers.mount_resolution import Resolver, is_anonymous_short
from rootless.containers.options import CreateOptions
from rootless.containers.volume_users import users_of_volumes
from rootless.errors import InUse, NoSuchObject, RlError
from rootless.locations import Locations
from rootless.storage import trash
from rootless.storage.volumes import VolumeStore


@contextlib.contextmanager
def mounts_added(locations: Locations, document: Document, options: CreateOptions) -> Iterator[None]:
    """Resolve the mounts and put them into the record, which the caller writes meanwhile, under the volumes' lock.

    The caller holds the image store's lock. After an error the anonymous volumes that were made for the container are gone.
    """
    resolver = Resolver(locations, f"{locations.containers}/{document['Id']}")
    try:
        with VolumeStore(locations).locked():
            _fill(document, options, resolver)
            yield
    except (RlError, OSError):
        remove_volumes(locations, resolver.resolved.anonymous)
        raise


def remove_volumes(locations: Locations, names: list[str], into: str | None = None) -> None:
    """Remove anonymous volumes, but for those that other containers have; `into` is a folder of the trash to which they go."""
    store = VolumeStore(locations)
    for name in names:
        try:
            trashed = store.remove(name, lambda: users_of_volumes(locations), into=into)
        except (InUse, NoSuchObject):
            continue
        if into is None and trashed is not None:
            trash.delete(locations, trashed)


def _fill(document: Document, options: CreateOptions, resolver: Resolver) -> None:
    config, own = document["Config"], document["Rl"]
    of_image = config["Volumes"] or {}
    resolved = resolver.resolve(options.mounts, options.volumes_from, of_image)
    given: dict[str, Any] = {request.target: {} for request in options.mounts if is_anonymous_short(request)}
    config["Volumes"] = {**of_image, **given} or None
    document["Mounts"] = resolved.shown
    document["HostConfig"].update(_host_config(options.mounts, options.volumes_from))
    own["Mounts"] = resolved.oci
    if resolved.anonymous:
        own["AnonymousVolumes"] = resolved.anonymous
    if resolved.images:
        own["MountedImages"] = resolved.images
    if any(resolved.staging.values()):
        own["Staging"] = resolved.staging


def _host_config(requests: tuple[MountRequest, ...], volumes_from: tuple[str, ...]) -> dict[str, Any]:
    binds = [request.bind for request in requests if request.bind is not None]
    mounts = [request.document for request in requests if request.document is not None]
    tmpfs = {request.target: request.mode for request in requests if request.kind == TMPFS and request.document is None}
    return {
        "Binds": binds or None,
        "VolumesFrom": list(volumes_from) or None,
        **({"Mounts": mounts} if mounts else {}),
        **({"Tmpfs": tmpfs} if tmpfs else {}),
    }
