"""What a container shares with the node or with other containers, as its config has it: namespaces, and mounts that go with them.

procfs, sysfs and mqueue show the PID, network and IPC namespace that the mounting process is in, and the kernel mounts them only
for root of the user namespace that owns that namespace. The node's belong to the node's root, so the node's own mounts are bound
instead; for another container's see `rootless.containers.sharing`.
"""

import os
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

KEEP_GROUPS: Final = "run.oci.keep_original_groups"
"""The annotation, crun's, that leaves the user's supplementary groups as they are."""

_NAMESPACES: Final = ("user", "mount", "pid", "ipc", "uts", "cgroup", "network")
_SHM: Final = "/dev/shm"  # noqa: S108 - a mount of the container's
_SYS: Final = "/sys"
_CGROUP: Final = "/sys/fs/cgroup"

_CLOSED: Final = ("nosuid", "noexec", "nodev")
_READ_ONLY: Final = ("ro", "rro")
_OPTIONS: Final = {_SYS: (*_CLOSED, *_READ_ONLY), _CGROUP: (*_CLOSED, *_READ_ONLY)}
# By the namespace that is the node's: the mounts of the node that are shown then.
_OF_NODE: Final = {"pid": ("/proc",), "network": (_SYS,), "ipc": ("/dev/mqueue", _SHM), "cgroup": (_CGROUP,)}


class Sharing(NamedTuple):
    """Namespaces by their OCI names, mounts by their destination."""

    of_node: frozenset[str] = frozenset()  # not unshared
    paths: Mapping[str, str] = {}  # joined
    binds: Mapping[str, str] = {}  # the source that is bound instead of a new mount
    left_out: frozenset[str] = frozenset()  # destinations of which there is nothing


def namespaces_of(sharing: Sharing) -> list[dict[str, str]]:
    """Return `linux.namespaces`."""
    paths = sharing.paths
    return [
        {"type": name, "path": paths[name]} if name in paths else {"type": name}
        for name in _NAMESPACES
        if name not in sharing.of_node
    ]


def mounts_of(standard: Iterable[dict[str, Any]], sharing: Sharing) -> list[dict[str, Any]]:
    """Return the kernel's own mounts in a container that shares something, made of those of one that does not."""
    sources = {path: path for name in _OF_NODE if name in sharing.of_node for path in _OF_NODE[name]}
    left_out = {path for path in sources if not os.path.isdir(path)} | sharing.left_out
    if "network" in sharing.of_node:
        left_out |= {_CGROUP}  # the node's /sys has it
    sources.update(sharing.binds)
    made = []
    for mount in standard:
        destination = mount["destination"]
        if destination in left_out:
            continue
        made.append(_bind(sources[destination], destination) if destination in sources else mount)
    return made


def _bind(source: str, destination: str) -> dict[str, Any]:
    options = ["rbind", "rslave", *_OPTIONS.get(destination, _CLOSED)]
    return {"destination": destination, "type": "bind", "source": source, "options": options}


def keeps_groups(spec: Mapping[str, Any]) -> bool:
    """Tell whether the container's processes keep the supplementary groups of who starts them."""
    return (spec.get("annotations") or {}).get(KEEP_GROUPS) == "1"
