"""linux.sysctl: kernel parameters of the namespaces that a container has of its own (config-linux.md, "Sysctl").

They are written by init before its mounts, through the node's /proc, where no file of the image is: the kernel takes the namespaces
of whoever writes. A parameter that belongs to no namespace, or to one that is the node's, is refused.
"""

import errno
import os
from collections.abc import Mapping
from typing import Any, Final

from rootless.errors import InvalidInput, RlError
from rootless.linux import filesystems, namespaces

# Parameter, or beginning of one with a slash at its end -> the namespace that it belongs to.
_OWNERS: Final = {
    **dict.fromkeys(
        [f"kernel/{name}" for name in ("msgmax", "msgmnb", "msgmni", "msg_next_id", "auto_msgmni", "sem", "sem_next_id")], "ipc"
    ),
    **dict.fromkeys([f"kernel/{name}" for name in ("shmall", "shmmax", "shmmni", "shm_next_id", "shm_rmid_forced")], "ipc"),
    "fs/mqueue/": "ipc",
    "net/": "network",
    "kernel/hostname": "uts",
    "kernel/domainname": "uts",
    "user/": "user",
}
# The kernel keeps these files for the node's root; the system calls do the same.
_BY_CALL: Final = {"kernel/hostname": namespaces.sethostname, "kernel/domainname": namespaces.setdomainname}


def check(spec: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters as paths below /proc/sys. Raises `InvalidInput` for one that the container may not set."""
    own = {entry["type"] for entry in spec["linux"].get("namespaces") or ()}
    parameters = spec["linux"]["sysctl"]
    return {path_of(key, own, f"config.json: linux.sysctl[{key}]"): value for key, value in parameters.items()}


def path_of(key: str, own: set[str], place: str) -> str:
    """Return a parameter's path below /proc/sys, for a container with the `own` namespaces; `place` names it in errors."""
    path = _with_slashes(key)
    if any(part in ("", ".", "..") for part in path.split("/")):
        raise InvalidInput(f"{place}: is no kernel parameter's name")
    owner = _OWNERS.get(path) or next(
        (kind for start, kind in _OWNERS.items() if start[-1] == "/" and path.startswith(start)), None
    )
    if owner is None:
        raise InvalidInput(
            f"{place}: belongs to no namespace, and so to the whole node",
            "a container can set net.*, fs.mqueue.*, user.* and kernel.shm* and the like",
        )
    if owner not in own:
        raise InvalidInput(
            f"{place}: belongs to the {owner} namespace, which is the node's here", f"give the container its own {owner} namespace"
        )
    return path


def _with_slashes(key: str) -> str:
    """Return a name as a path: dots and slashes change places where a dot comes first (sysctl(8))."""
    first = next((character for character in key if character in "./"), "")
    return key if first == "/" else key.translate(str.maketrans("./", "/."))


def write(parameters: Mapping[str, str]) -> None:
    """Write checked parameters. Raises `RlError`."""
    for path, value in parameters.items():
        try:
            if path in _BY_CALL:
                _BY_CALL[path](value.encode())
            else:
                _write(f"/proc/sys/{path}", value.encode())
        except OSError as error:
            raise RlError(f"config.json: linux.sysctl[{path}]: cannot set {value!r}: {error.strerror}") from None


def _write(path: str, value: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        if filesystems.type_of(descriptor) != filesystems.PROC:  # CVE-2025-52881; /proc is a joined mount namespace's, perhaps
            raise OSError(errno.EXDEV, "not a file of the kernel's", path)
        os.write(descriptor, value)
    finally:
        os.close(descriptor)
