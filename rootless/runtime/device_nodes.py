"""linux.devices: nodes that a config wants (runtime-spec config-linux.md, "Devices").

The kernel lets no user make device nodes, whatever its namespaces: the node's own device is bound instead, with the mode and owner
that it has there. FIFOs can be made. As everything below a container's root, before the change of root.
"""

import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rootless.errors import InvalidInput, NodeLacks, RlError
from rootless.linux import mounts
from rootless.runtime.devices import DEFAULTS
from rootless.runtime.mount_points import make_folders, open_if_there, open_target

_IS_TYPE: Final = {"c": stat.S_ISCHR, "u": stat.S_ISCHR, "b": stat.S_ISBLK}
_DEFAULT_PATHS: Final = frozenset(f"/dev/{name}" for name in DEFAULTS)


def make_all(root: int, devices: Sequence[Mapping[str, Any]]) -> None:
    """Make the nodes below the directory that the descriptor `root` refers to. Raises `RlError`."""
    for index, device in enumerate(devices):
        place = f"linux.devices[{index}] ({device['path']})"
        try:
            if device["type"] == "p":
                _make_fifo(root, device, place)
            else:
                _bind(root, device, place)
        except OSError as error:
            raise RlError(f"{place}: {error.strerror}") from error


def _bind(root: int, device: Mapping[str, Any], place: str) -> None:
    path = os.path.normpath(device["path"])
    there = open_if_there(root, path)
    if there is not None:
        status = os.fstat(there)
        os.close(there)
        if _is_device(status, device):
            return  # a default device, or made by a mount
        if path not in _DEFAULT_PATHS and not stat.S_ISREG(status.st_mode):
            raise InvalidInput(f"{place}: something else exists there already")
    tree = mounts.clone_tree(_find(device, place), recursive=False)
    try:
        target = open_target(root, path, is_folder=False)
        try:
            mounts.attach_tree(tree, target, path)
        finally:
            os.close(target)
    finally:
        os.close(tree)


def _find(device: Mapping[str, Any], place: str) -> str:
    """Return where the node has the device: at the same path, or where the kernel says that it is."""
    kind = "block" if device["type"] == "b" else "char"
    numbers = f"{device['major']}:{device['minor']}"
    candidates: list[str] = [device["path"]]
    try:
        with open(f"/sys/dev/{kind}/{numbers}/uevent", encoding="utf-8", errors="surrogateescape") as file:
            candidates += [f"/dev/{line[8:].strip()}" for line in file if line.startswith("DEVNAME=")]
    except FileNotFoundError:
        pass  # no device with these numbers, or one that udev never hears of
    for path in candidates:
        try:
            if _is_device(os.stat(path), device):
                return path
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
    raise NodeLacks(
        f"{place}: the node has no such device, {kind} {numbers}", "a user cannot make devices: the container gets the node's own"
    )


def _is_device(status: os.stat_result, device: Mapping[str, Any]) -> bool:
    return _IS_TYPE[device["type"]](status.st_mode) and status.st_rdev == os.makedev(device["major"], device["minor"])


def _make_fifo(root: int, device: Mapping[str, Any], place: str) -> None:
    folder, _, name = os.path.normpath(device["path"]).rpartition("/")
    parent = make_folders(root, folder)
    mask = os.umask(0)
    try:
        os.mkfifo(name, device.get("fileMode", 0o666), dir_fd=parent)
        os.chown(name, device.get("uid", 0), device.get("gid", 0), dir_fd=parent, follow_symlinks=False)
    except FileExistsError:
        if not stat.S_ISFIFO(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise InvalidInput(f"{place}: something else exists there already") from None
    finally:
        os.umask(mask)
        os.close(parent)
