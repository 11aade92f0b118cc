"""Which images are mounted for a user to read (`rl image mount`): removals ask this, `storage.image_mount` mounts.

`mounts/SESSION-ID`: SESSION is the inode of a mount namespace, ID 12 digits of the image's; left over when no process is in it.
"""

import os
from collections.abc import Iterator

from rootless.locations import Locations

_SHORT_ID = 12


def folder_of(locations: Locations, image_id: str) -> str:
    """Return the folder of an image's mount in our mount namespace."""
    return f"{session_prefix(locations)}{short_id(image_id)}"


def session_prefix(locations: Locations) -> str:
    """Return what the paths of all mounts of our mount namespace begin with."""
    return f"{locations.data_root}/mounts/{os.stat('/proc/self/ns/mnt').st_ino}-"


def short_id(image_id: str) -> str:
    """Return the digits of an image's ID (sha256:…) that its mount has."""
    return image_id.removeprefix("sha256:")[:_SHORT_ID]


def mounted_ids(locations: Locations) -> set[str]:
    """Return the short IDs of the images that are mounted in a namespace that lives. The caller has the store's lock."""
    names = _names(locations)
    if not names:
        return set()
    living = set(_living_sessions())
    return {name.partition("-")[2] for name in names if name.partition("-")[0] in living}


def left_over(locations: Locations) -> list[str]:
    """Return the folders of mounts whose namespaces have ended."""
    names = _names(locations)
    living = set(_living_sessions()) if names else set()
    return [f"{locations.data_root}/mounts/{name}" for name in names if name.partition("-")[0] not in living]


def _names(locations: Locations) -> list[str]:
    try:
        return os.listdir(f"{locations.data_root}/mounts")
    except FileNotFoundError:
        return []


def _living_sessions() -> Iterator[str]:
    """Yield the inodes of the mount namespaces of all processes that are ours to look at."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                yield str(os.stat(f"/proc/{name}/ns/mnt").st_ino)
            except (PermissionError, FileNotFoundError, ProcessLookupError):
                continue  # another user's, or just ended
