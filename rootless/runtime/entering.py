"""How the stage comes into a container's namespaces: those that the config names by path, and new ones (config-linux.md).

A namespace by path is joined where the caller has the power to: before the user namespace if its owner is ours or above it, else
after, when it belongs to the container's user namespace itself; the kernel's EPERM tells which. The mount namespace comes last,
because paths lead elsewhere from then on. A new PID or time namespace takes the next child, so the stage forks init in them; a new
cgroup namespace is made by init, which has been placed in its cgroup by then.
"""

import errno
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from rootless.errors import InvalidInput, RlError
from rootless.linux import namespaces
from rootless.linux.own_process import set_dumpable

_WRITTEN_OF_PROCESS: Final = ("oomScoreAdj", "apparmorProfile", "selinuxLabel")
_BEFORE_ROOT: Final = ("mount", "network")
BEFORE_FORK: Final = ("pid", "ipc", "uts", "time")


def new_types(spec: Mapping[str, Any]) -> set[str]:
    """Return the OCI names of the namespaces that are made for the container."""
    return {entry["type"] for entry in _entries(spec) if not entry.get("path")}


def flags_of(types: set[str], among: tuple[str, ...]) -> int:
    """Return the CLONE_NEW… flags of those `types` that are in `among`."""
    flags = 0
    for name in among:
        if name in types:
            flags |= namespaces.OCI_NAMES[name]
    return flags


def enter(
    spec: Mapping[str, Any],
    become_mapped: Callable[[], None],
    become_root: Callable[[], None],
    before_root: Callable[[], None] | None = None,
) -> None:
    """Join and make everything up to the mount namespace; `BEFORE_FORK` is left to the caller.

    `become_mapped` is called in a new user namespace (or at once where none is made) and returns when the maps are written;
    `become_root` once the container's user namespace is entered; `before_root`, if any, before it, in the new mount namespace.
    """
    types = new_types(spec)
    paths = {entry["type"]: entry["path"] for entry in _entries(spec) if entry.get("path")}
    opened = {name: _open(name, path) for name, path in paths.items()}
    user, mount = opened.pop("user", None), opened.pop("mount", None)
    postponed = {name: descriptor for name, descriptor in opened.items() if not _join(name, descriptor, paths, only_try=True)}
    if user is not None and not _is_own(user):
        _close_before(spec)
        _join("user", user, paths)
    elif "user" in types:
        namespaces.unshare(namespaces.NEWUSER)
    become_mapped()
    made = flags_of(types, _BEFORE_ROOT)
    if before_root is not None:
        namespaces.unshare(made)
        made = 0
        before_root()
    if user is not None or "user" in types:
        become_root()
    for name, descriptor in postponed.items():
        _join(name, descriptor, paths)
    namespaces.unshare(made)
    if mount is not None:
        _join("mount", mount, paths)
    for left in (*opened.values(), user, mount):
        if left is not None:
            os.close(left)


def _close_before(spec: Mapping[str, Any]) -> None:
    """Close this process to those of the user namespace that it is about to join: one that sees the node's PIDs could debug it.

    Not where it has to write about itself into its /proc later, which belongs to the node's root from then on.
    """
    process, linux = spec.get("process") or {}, spec.get("linux") or {}
    if not any(process.get(name) for name in _WRITTEN_OF_PROCESS) and not linux.get("timeOffsets"):
        set_dumpable(False)


def _entries(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    return (spec.get("linux") or {}).get("namespaces") or []


def _open(name: str, path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidInput(f"cannot join the {name} namespace {path}: {error.strerror}") from None


def _join(name: str, descriptor: int, paths: Mapping[str, str], *, only_try: bool = False) -> bool:
    """Join a namespace; with `only_try`, False when that needs power that we do not have (yet)."""
    try:
        namespaces.setns(descriptor, namespaces.OCI_NAMES[name])
    except OSError as error:
        if error.errno == errno.EPERM and only_try:
            return False
        reason = f"not a {name} namespace" if error.errno == errno.EINVAL else os.strerror(error.errno or 0)
        raise RlError(f"cannot join the {name} namespace {paths[name]}: {reason}") from None
    return True


def _is_own(user_namespace: int) -> bool:
    """Tell whether that is the caller's own user namespace, which the kernel refuses to join again (EINVAL)."""
    there, own = os.fstat(user_namespace), os.stat("/proc/self/ns/user")
    return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)
