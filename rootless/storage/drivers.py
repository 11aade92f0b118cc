"""The choice of the storage driver: the first that a real probe finds working, unless the user names one (DESIGN section 4).

A probe mounts, writes, deletes and unmounts in a mount namespace of its own inside the parent namespace. Its verdict holds for one
boot of one node and one data root, and is kept in `storage-driver.json` there.
"""

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final

from rootless.errors import InvalidInput, NodeLacks, RlError, os_error_text
from rootless.images.removal import remove_tree
from rootless.linux import mounts, namespaces
from rootless.linux.process import boot_id
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent
from rootless.storage.root_filesystem import RootFilesystem, make_folders

DRIVERS: Final = ("overlay", "fuse", "vfs")

_VERDICT_FILE = "storage-driver.json"


def load(name: str) -> ModuleType:
    """Import and return the module of one driver: a `StorageDriver`."""
    return importlib.import_module(f"rootless.storage.{name}")


def choose(locations: Locations, environ: Mapping[str, str]) -> str:
    """Return the driver's name: what RL_STORAGE_DRIVER asks for, else the first of overlay, fuse and vfs that works here."""
    wanted = environ.get("RL_STORAGE_DRIVER")
    if wanted:
        if wanted not in DRIVERS:
            raise InvalidInput(f"unknown storage driver: {wanted}", f"choose one of {', '.join(DRIVERS)}")
        return wanted
    key = f"{os.uname().nodename} {boot_id()}"
    path = f"{locations.data_root}/{_VERDICT_FILE}"
    with contextlib.suppress(FileNotFoundError, ValueError):
        with open(path, "rb") as file:
            verdict = json.loads(file.read())
        if verdict.get("key") == key and verdict.get("driver") in DRIVERS:
            return str(verdict["driver"])
    reasons = probe_all(locations)
    driver = next(name for name, reason in reasons.items() if reason is None)
    _write_verdict(path, {"key": key, "driver": driver, "reasons": reasons})
    return driver


def probe_all(locations: Locations) -> dict[str, str | None]:
    """Return for each driver None when it works, or why it does not; `vfs` always works."""
    return {"overlay": _probe(locations, _try_overlay), "fuse": _probe(locations, _try_fuse), "vfs": None}


def check(name: str, locations: Locations) -> None:
    """Raise `NodeLacks` with the reason when the driver that somebody named does not work here."""
    reason = probe_all(locations)[name]
    if reason is not None:
        raise NodeLacks(f"the storage driver {name} does not work here: {reason}", "leave out --storage-driver to have one chosen")


def _write_verdict(path: str, verdict: dict[str, Any]) -> None:
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(verdict, file)
    os.rename(temporary, path)


def _probe(locations: Locations, attempt: Callable[[str], None]) -> str | None:
    folder = f"{locations.trash}/probe-{os.getpid()}"
    os.makedirs(locations.trash, 0o700, exist_ok=True)
    try:
        run_in_parent(locations, attempt, folder)
    except (RlError, OSError) as error:
        return os_error_text(error) if isinstance(error, OSError) else error.message
    finally:
        run_in_parent(locations, remove_tree, folder)
    return None


def _probe_root(folder: str) -> RootFilesystem:
    """Make a small image of two layers and a container's folders below `folder`."""
    root = RootFilesystem(f"{folder}/container", f"{folder}/layers", (f"{folder}/layers/b", f"{folder}/layers/a"))
    for layer in root.layers:
        os.makedirs(layer)
        with open(f"{layer}/file-{layer[-1]}", "w", encoding="utf-8") as file:
            file.write(layer[-1])
    os.mkdir(root.container_folder)
    make_folders(root)
    return root


def _try_overlay(folder: str) -> None:
    root = _probe_root(folder)
    namespaces.unshare(namespaces.NEWNS)
    load("overlay").mount(root)
    point = root.mount_point
    with open(f"{point}/file-a", "a", encoding="utf-8") as file:
        file.write("changed")
    os.unlink(f"{point}/file-b")
    os.mkdir(f"{point}/folder")
    os.rename(f"{point}/file-a", f"{point}/folder/file-a")
    if sorted(os.listdir(point)) != ["folder"]:
        raise OSError(5, "the overlay shows files that were removed", point)
    mounts.unmount(point)


def _try_fuse(folder: str) -> None:
    root = _probe_root(folder)
    if not module_is_installed("pyfuse3"):
        raise OSError(2, "the Python package pyfuse3 is not installed (pip install 'rl[fuse]')", "pyfuse3")
    namespaces.unshare(namespaces.NEWNS)
    for descriptor in load("fuse").mount(root):
        os.close(descriptor)
    mounts.unmount(root.mount_point, mounts.MNT_DETACH)


def module_is_installed(name: str) -> bool:
    """Tell whether a Python package or module could be imported, without importing it (importlib.util costs 3 ms)."""
    return any(os.path.exists(f"{folder}/{file}") for folder in sys.path for file in (name, f"{name}.py"))
