"""The ID maps of a bundle's user namespace: as the config says, written by whoever may (config-linux.md, "User namespaces")."""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rootless.errors import InvalidInput
from rootless.namespaces.idmap import IdMaps, MapLine, default_maps, write_by_helpers, write_by_kernel


def writer(spec: Mapping[str, Any]) -> Callable[[int], None] | None:
    """Return what writes the maps of a process in the new user namespace; None when none is made.

    Without mappings in the config they are what `rl run` gives: the caller as root, and its subordinate IDs.
    """
    entries = spec["linux"].get("namespaces") or ()
    if not any(entry["type"] == "user" and not entry.get("path") for entry in entries):
        return None
    if _are_left_out(spec):
        default = default_maps(os.geteuid(), os.getegid())
        return lambda pid: default.write(pid, default.maps)
    maps = IdMaps(_lines(spec, "uidMappings"), _lines(spec, "gidMappings"))
    return lambda pid: _write(pid, maps)


def of_container(spec: Mapping[str, Any]) -> IdMaps | None:
    """Return the maps as seen from here; None for a container in our own user namespace.

    Those of a user namespace by path are not in the config: it is taken for one of the engine's.
    """
    if not any(entry["type"] == "user" for entry in spec["linux"].get("namespaces") or ()):
        return None
    if _are_left_out(spec):
        return default_maps(os.geteuid(), os.getegid()).maps
    return IdMaps(_lines(spec, "uidMappings"), _lines(spec, "gidMappings"))


def _are_left_out(spec: Mapping[str, Any]) -> bool:
    return not spec["linux"].get("uidMappings") and not spec["linux"].get("gidMappings")


def _lines(spec: Mapping[str, Any], key: str) -> tuple[MapLine, ...]:
    given = spec["linux"].get(key) or ()
    try:
        lines = tuple(MapLine(int(one["containerID"]), int(one["hostID"]), int(one["size"])) for one in given)
    except (KeyError, TypeError, ValueError):
        raise InvalidInput(f"invalid linux.{key}: each entry needs containerID, hostID and size, numbers") from None
    if not any(line.inside == 0 and line.length > 0 for line in lines):
        raise InvalidInput(f"invalid linux.{key}: ID 0 of the container is not mapped", "a container is set up by its own root")
    return lines


def _write(pid: int, maps: IdMaps) -> None:
    """Write the maps directly where that is permitted (as root, or one own ID), else by newuidmap and newgidmap."""
    if os.geteuid() == 0 or _is_own_id(maps):
        try:
            write_by_kernel(pid, maps)
        except OSError as error:
            if error.errno != errno.EPERM:
                raise
        else:
            return
    write_by_helpers(pid, maps)


def _is_own_id(maps: IdMaps) -> bool:
    def is_only(lines: Sequence[MapLine], own: int) -> bool:
        return [(line.outside, line.length) for line in lines] == [(own, 1)]

    return is_only(maps.uids, os.geteuid()) and is_only(maps.gids, os.getegid())
