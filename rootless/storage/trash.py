"""Deleting trees in two steps: renamed into the trash at once, deleted when there is time.

A tree may hold files of subordinate IDs, which the user cannot delete from outside: then a worker in the parent namespace does it.
"""

import contextlib
import os
import shutil
from collections.abc import Callable
from typing import Any

from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent


def throw_away(locations: Locations, path: str, name: str) -> str | None:
    """Rename `path` into the trash as `name`; returns where it went, or None when it is gone already."""
    os.makedirs(locations.trash, 0o700, exist_ok=True)
    target = f"{locations.trash}/{name}"
    try:
        os.rename(path, target)
    except FileNotFoundError:
        return None
    return target


def delete(locations: Locations, trashed: str) -> None:
    """Delete a tree of the trash, as the user if that is enough, else as the parent namespace's root."""
    remaining: list[OSError] = []
    _delete_tree(trashed, remaining.append)
    if remaining:
        run_in_parent(locations, delete_as_root, trashed)


def empty(locations: Locations) -> None:
    """Delete whatever processes that were killed left in the trash."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(locations.trash):
            delete(locations, f"{locations.trash}/{name}")


def delete_as_root(path: str) -> None:
    """Delete a tree as a root that may do everything; runs in the parent namespace."""
    errors: list[OSError] = []
    _delete_tree(path, errors.append)
    if errors:
        raise errors[0]


def _delete_tree(path: str, report: Callable[[OSError], Any]) -> None:
    def on_error(_function: Any, _path: str, info: tuple[type[BaseException], BaseException, Any]) -> None:
        error = info[1]
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            report(error)

    with contextlib.suppress(FileNotFoundError, PermissionError):
        os.chmod(f"{path}/work/work", 0o700)  # the kernel's overlay leaves its work folder without any mode bit
    shutil.rmtree(path, onerror=on_error)
