"""How a container comes to the user's files whose root has no power over them (`--userns nomap`, `auto`, maps without the user).

The sources of its mounts and its own folder are below folders of the user's with mode 0700, and capabilities of a user namespace
reach only files whose owner is mapped there (user_namespaces(7)). The stage, a fork of the user's process, is still the user
in the new user namespace until it becomes root there, and has all capabilities in it already. So it makes the mount namespace and
mounts the root as that, and opens everything that is mounted later, O_PATH: /proc/self/fd/N leads there without a walk.
The descriptors are closed with all others before the container's command runs.
"""

import os
from collections.abc import Mapping
from typing import Any

from rootless.errors import InvalidInput


def held(path: str) -> str:
    """Return a path of what `path` is, that holds in this process and its forks whoever they become."""
    return f"/proc/self/fd/{os.open(path, os.O_PATH | os.O_CLOEXEC)}"


def with_held_sources(spec: dict[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    """Return the OCI config with all that it binds held; `places` are folders that are held already, and filled later."""
    return {**spec, "mounts": [_with_held_source(mount, places) for mount in spec.get("mounts") or ()]}


def _with_held_source(mount: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, Any]:
    source = mount.get("source")
    if mount.get("type") != "bind" or not source:
        return dict(mount)
    for place, known in places.items():
        if source.startswith(f"{place}/"):
            return {**mount, "source": known + source.removeprefix(place)}
    try:
        return {**mount, "source": held(source)}
    except FileNotFoundError:
        where = f"cannot mount {source} at {mount['destination']}"
        raise InvalidInput(f"{where}: the source does not exist", "create it first") from None
