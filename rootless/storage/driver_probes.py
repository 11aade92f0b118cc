"""Probes of the storage drivers: each mounts, writes, deletes and unmounts in a mount namespace of its own below P."""

import os
import sys
from collections.abc import Callable

from rootless.errors import RlError, text_of
from rootless.images.removal import remove_tree
from rootless.linux import mounts, namespaces
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent
from rootless.storage import fuse, overlay
from rootless.storage.root_filesystem import RootFilesystem, make_folders


def probe_all(locations: Locations) -> dict[str, str | None]:
    """Return for each driver None when it works, or why it does not; `vfs` always works."""
    return {"overlay": _probe(locations, _try_overlay), "fuse": _probe(locations, _try_fuse), "vfs": None}


def _probe(locations: Locations, attempt: Callable[[str], None]) -> str | None:
    folder = f"{locations.trash}/probe-{os.getpid()}"
    os.makedirs(locations.trash, 0o700, exist_ok=True)
    try:
        run_in_parent(locations, attempt, folder)
    except (RlError, OSError) as error:
        return text_of(error)
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
    overlay.mount(root)
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
    for descriptor in fuse.mount(root):
        os.close(descriptor)
    mounts.unmount(root.mount_point, mounts.MNT_DETACH)


def module_is_installed(name: str) -> bool:
    """Tell whether a Python package or module could be imported, without importing it (importlib.util costs 3 ms)."""
    return any(os.path.exists(f"{folder}/{file}") for folder in sys.path for file in (name, f"{name}.py"))
