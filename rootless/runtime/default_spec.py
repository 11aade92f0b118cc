"""The OCI config.json of a container with Docker's defaults (runtime-spec: config.md, config-linux.md)."""

from collections.abc import Sequence
from typing import Any, Final

from rootless.runtime.security import READONLY_PATHS, masked_paths
from rootless.runtime.sharing import KEEP_GROUPS, Sharing, mounts_of, namespaces_of

OCI_VERSION: Final = "1.1.0"

_NO_SUID_EXEC_DEV: Final = ["nosuid", "noexec", "nodev"]
_MOUNTS: Final[list[dict[str, Any]]] = [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": _NO_SUID_EXEC_DEV},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {
        "destination": "/dev/pts",
        "type": "devpts",
        "source": "devpts",
        "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*_NO_SUID_EXEC_DEV, "ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": [*_NO_SUID_EXEC_DEV, "ro"]},
    {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": _NO_SUID_EXEC_DEV},
    {
        "destination": "/dev/shm",  # noqa: S108 - a mount of the container's
        "type": "tmpfs",
        "source": "shm",
        "options": [*_NO_SUID_EXEC_DEV, "mode=1777", "size=65536k"],
    },
]


def default_spec(
    *,
    args: Sequence[str],
    env: Sequence[str],
    cwd: str,
    hostname: str,
    root: str,
    terminal: bool,
    read_only: bool,
    sharing: Sharing,
    keep_groups: bool,
    mounts: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Return the config; `process.user` and `process.capabilities` are filled in by the stage, which can read the image's files."""
    own_uts = "uts" not in sharing.of_node and "uts" not in sharing.paths
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": terminal,
            "user": {"uid": 0, "gid": 0},
            "args": list(args),
            "env": list(env),
            "cwd": cwd,
            "noNewPrivileges": False,
        },
        "root": {"path": root, "readonly": read_only},
        **({"hostname": hostname} if own_uts else {}),
        **({"annotations": {KEEP_GROUPS: "1"}} if keep_groups else {}),
        "mounts": [*mounts_of(_MOUNTS, sharing), *mounts],
        "linux": {
            "namespaces": namespaces_of(sharing),
            "maskedPaths": masked_paths(),
            "readonlyPaths": list(READONLY_PATHS),
        },
    }
