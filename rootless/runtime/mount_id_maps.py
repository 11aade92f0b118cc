"""uidMappings and gidMappings of a mount, and its options idmap and ridmap (config.md, "Mounts"; mount_setattr(2)).

The kernel takes such a map in the form of a user namespace. The stage makes one, in a child that ends at once: the descriptor keeps
the namespace. It does so before its own PID namespace is made, whose first process the child would be otherwise.
"""

import os
from collections.abc import Mapping
from typing import Any

from rootless.errors import InvalidInput, RlError
from rootless.linux import namespaces
from rootless.namespaces.idmap import IdMaps, MapLine, write_by_kernel


def open_namespace(mount: Mapping[str, Any], place: str) -> int:
    """Return the descriptor of a user namespace with a mount's map; without one that is the container's own."""
    uids, gids = mount.get("uidMappings"), mount.get("gidMappings")
    if not uids and not gids:
        return os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    if not uids or not gids:
        raise InvalidInput(f"config.json: {place}: uidMappings and gidMappings go together")
    maps = IdMaps(*(tuple(MapLine(one["containerID"], one["hostID"], one["size"]) for one in lines) for lines in (uids, gids)))
    try:
        return _make(maps)
    except OSError as error:
        raise RlError(
            f"config.json: {place}.uidMappings: the kernel does not take this map: {os.strerror(error.errno or 0)}",
            "host IDs are those that the container's user namespace has",
        ) from None


def _make(maps: IdMaps) -> int:
    made_reading, made_writing = os.pipe2(os.O_CLOEXEC)
    end_reading, end_writing = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        os.close(end_writing)
        try:
            namespaces.unshare(namespaces.NEWUSER)
            os.write(made_writing, b"u")
            os.read(end_reading, 1)  # until we are let go, or nobody is there
        finally:
            os._exit(0)
    os.close(made_writing)
    os.close(end_reading)
    try:
        if os.read(made_reading, 1) != b"u":
            raise RlError("the kernel makes no further user namespace", "see /proc/sys/user/max_user_namespaces")
        write_by_kernel(child, maps)
        return namespaces.open_namespace(child, namespaces.NEWUSER)
    finally:
        os.close(end_writing)
        os.close(made_reading)
        os.waitpid(child, 0)
