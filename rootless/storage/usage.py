"""How many bytes trees hold, of files that may belong to subordinate IDs."""

import os

from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent


def sizes_of_uppers(locations: Locations, container_ids: list[str]) -> dict[str, int]:
    """Return by container ID the bytes of the files that it wrote; one that is gone has 0. The caller is single-threaded."""
    if not container_ids:
        return {}
    folders = [f"{locations.containers}/{container_id}/upper" for container_id in container_ids]
    return dict(zip(container_ids, run_in_parent(locations, _sizes, folders), strict=True))


def tree_sizes(locations: Locations, folders: list[str]) -> list[int]:
    """Return the bytes of all regular files below each of the folders; the caller is single-threaded."""
    return run_in_parent(locations, _sizes, folders) if folders else []


def tree_size(folder: str) -> int:
    """Return the bytes of all regular files below a folder, each file once; what vanishes meanwhile counts as 0."""
    total = 0
    seen: set[tuple[int, int]] = set()
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        total += _size_once(entry.stat(follow_symlinks=False), seen)
        except FileNotFoundError:
            continue
    return total


def _size_once(status: os.stat_result, seen: set[tuple[int, int]]) -> int:
    if status.st_nlink == 1:
        return status.st_size
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        return 0
    seen.add(identity)
    return status.st_size


def _sizes(folders: list[str]) -> list[int]:
    return [tree_size(folder) for folder in folders]
