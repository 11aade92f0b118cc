"""What `--device` takes, and the binds that it means; and those of all devices of the node, for `--privileged`.

The kernel lets no user make a device node, so the container gets the node's own, with the permissions that the user has. Docker
limits reading and writing by the devices cgroup, which is root's: what the node's permissions do not say cannot be promised.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rootless.errors import InvalidInput
from rootless.runtime.devices import DEFAULTS

_MODES: Final = frozenset("rwm")
# What a container has of its own (as Docker's list; `ptmx` is a link to the container's).
_OWN: Final = frozenset({"console", "fd", "lxc", "mqueue", "ptmx", "pts", "shm", ".lxc", ".lxd-mounts", ".udev"})


def parse(text: str) -> dict[str, str]:
    """Return an entry of HostConfig.Devices for `HOST[:CONTAINER[:rwm]]`. Raises `InvalidInput`."""
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise InvalidInput(f"invalid device specification: {text}", "devices look like HOST[:CONTAINER[:rwm]]")
    host, inside, mode = parts[0], "", "rwm"
    if not host.startswith("/"):
        kind = "CDI devices are not supported" if "=" in host else "it is no absolute path"
        raise InvalidInput(f"invalid device specification: {text}: {kind}", "devices look like /dev/fuse")
    if len(parts) == 3:
        inside, mode = parts[1], parts[2]
    elif len(parts) == 2 and _is_mode(parts[1]):
        mode = parts[1]
    elif len(parts) == 2:
        inside = parts[1]
    if not _is_mode(mode):
        raise InvalidInput(f"bad mode specified: {mode}", "give some of r (read), w (write) and m (mknod)")
    inside = inside or host
    if not inside.startswith("/"):
        raise InvalidInput(f"{inside} is not an absolute path", f"invalid device specification: {text}")
    return {"PathOnHost": host, "PathInContainer": os.path.normpath(inside), "CgroupPermissions": mode}


def _is_mode(text: str) -> bool:
    return bool(text) and set(text) <= _MODES and len(set(text)) == len(text)


def mounts_of(devices: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Return the OCI mounts of the devices of HostConfig. Raises `InvalidInput` for one that is not there."""
    return [_bind(path, target) for device in devices for path, target in _found(device)]


def mounts_of_all(folder: str = "/dev") -> list[dict[str, Any]]:
    """Return the OCI mounts of every device that the user may open."""
    paths = [path for path in _devices_below(folder) if os.path.relpath(path, folder) not in DEFAULTS]
    return [_bind(path, path) for path in paths if os.access(path, os.R_OK) or os.access(path, os.W_OK)]


def _bind(source: str, target: str) -> dict[str, Any]:
    return {"destination": target, "type": "bind", "source": source, "options": ["bind", "nosuid", "noexec"]}


def _found(device: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the devices and where they go; a folder stands for all in it."""
    host, inside = device["PathOnHost"], device["PathInContainer"]
    adding = f'error gathering device information while adding custom device "{host}"'
    try:
        mode = os.stat(host).st_mode
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise InvalidInput(f"{adding}: {reason}", "a user cannot make devices: the node must have it") from None
    if stat.S_ISDIR(mode):
        paths = list(_devices_below(host))
        if not paths:
            raise InvalidInput(f"{adding}: no devices in that folder", "use -v for a folder of files")
    elif _is_device(mode):
        paths = [host]
    else:
        raise InvalidInput(f"{adding}: not a device node", "use -v for a file")
    for path in paths:
        _check_permissions(path, device["CgroupPermissions"])
        yield os.path.realpath(path), inside + path[len(host) :]


def _check_permissions(path: str, mode: str) -> None:
    """Refuse less than the user may do: only the devices cgroup could take it away. Nobody may do mknod anyway."""
    for letter, access, verb in (("r", os.R_OK, "reading"), ("w", os.W_OK, "writing")):
        if letter not in mode and os.access(path, access):
            raise InvalidInput(f"--device {path}: {verb} cannot be taken away by a user", "leave the mode out, or give rw")


def _devices_below(folder: str) -> Iterator[str]:
    """Yield the paths of the devices in a folder and all below; without links and folders that cannot be read."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError:
        return
    for entry in entries:
        if entry.name in _OWN:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _devices_below(entry.path)
        elif not entry.is_symlink() and _is_device(entry.stat(follow_symlinks=False).st_mode):
            yield entry.path


def _is_device(mode: int) -> bool:
    return stat.S_ISCHR(mode) or stat.S_ISBLK(mode)
