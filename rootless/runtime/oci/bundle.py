"""Reading a bundle: config.json (runtime-spec: bundle.md, config.md), checked by `config`, and its root file system."""

import os
from typing import Any, NamedTuple

from rootless.errors import InvalidInput
from rootless.runtime import config


class Bundle(NamedTuple):
    """A bundle's folder, its config, and the root file system as an absolute path without symbolic links."""

    folder: str
    spec: dict[str, Any]
    root: str
    warnings: tuple[str, ...] = ()  # of values that the specification has ignored


def read(folder: str, name: str = config.FILE) -> Bundle:
    """Read and check a bundle. Raises `InvalidInput` that names the property."""
    folder = os.path.realpath(folder)
    read = config.read(folder, name)
    spec = read.document
    for required in ("root", "process"):
        if required not in spec:
            raise InvalidInput(f"{name}: {required}: is missing", "a container needs a root file system and a process")
    rootfs = os.path.realpath(spec["root"]["path"])
    if not os.path.isdir(rootfs):
        raise InvalidInput(f"{name}: root.path: {rootfs} is not a folder", "unpack an image there")
    _check_namespaces(spec, name)
    return Bundle(folder, spec, rootfs, read.warnings)


def _check_namespaces(spec: dict[str, Any], name: str) -> None:
    """Refuse what this runtime cannot make, or not for a user."""
    types = {entry["type"] for entry in spec["linux"]["namespaces"]}
    if "mount" not in types:
        raise InvalidInput(f"{name}: linux.namespaces: a container needs a mount namespace", 'add {"type": "mount"}')
    if os.geteuid() != 0 and "user" not in types:
        raise InvalidInput(
            f"{name}: linux.namespaces: only root can make a container without a user namespace",
            'add {"type": "user"}, with linux.uidMappings and gidMappings; rl oci spec --rootless shows one',
        )
