"""Where the engine keeps its data and its sockets (DESIGN section 7).

The environment and the user ID come in as arguments, so that a test can give others.
"""

import os
import stat
from collections.abc import Mapping
from typing import NamedTuple

from rootless.errors import NodeLacks


class Locations(NamedTuple):
    """The two folders of one user: the data root (objects; may be on NFS) and the runtime directory (sockets)."""

    data_root: str
    runtime_dir: str

    @property
    def images(self) -> str:
        """The OCI image layout with all blobs."""
        return f"{self.data_root}/images"

    @property
    def layers(self) -> str:
        """The unpacked layers."""
        return f"{self.data_root}/layers"

    @property
    def containers(self) -> str:
        """One folder a container, named by its ID."""
        return f"{self.data_root}/containers"

    @property
    def names(self) -> str:
        """One symbolic link a container name, whose target is the ID: creating it claims the name."""
        return f"{self.data_root}/names"

    @property
    def volumes(self) -> str:
        """One folder a volume, by its name."""
        return f"{self.data_root}/volumes"

    @property
    def secrets(self) -> str:
        """One folder a secret, by its name."""
        return f"{self.data_root}/secrets"

    @property
    def trash(self) -> str:
        """Trees that are renamed here first and deleted later."""
        return f"{self.data_root}/trash"


def from_environment(environ: Mapping[str, str], uid: int) -> Locations:
    """Return the locations that RL_ROOT, RL_RUNROOT and the XDG variables name; nothing is created."""
    data_root = environ.get("RL_ROOT")
    if not data_root and uid == 0 and not environ.get("XDG_DATA_HOME"):
        data_root = "/var/lib/rl"  # root's home is closed to the IDs of its containers
    if not data_root:
        home = environ.get("HOME") or os.path.expanduser("~")
        data_root = (environ.get("XDG_DATA_HOME") or f"{home}/.local/share") + "/rl"
    return Locations(os.path.abspath(data_root), os.path.abspath(environ.get("RL_RUNROOT") or _runtime_dir(environ, uid)))


def _runtime_dir(environ: Mapping[str, str], uid: int) -> str:
    """$XDG_RUNTIME_DIR/rl where that is a folder of ours that we can write, else a private one fixed by the UID."""
    xdg = environ.get("XDG_RUNTIME_DIR")
    if xdg and _is_own_writable_folder(xdg, uid):
        return f"{xdg}/rl"
    return fallback_runtime_dir(uid)


def fallback_runtime_dir(uid: int) -> str:
    """Return the runtime directory where the session has none."""
    return f"/tmp/rl-{uid}"  # noqa: S108 - make_private_folder refuses one that is not ours


def _is_own_writable_folder(path: str, uid: int) -> bool:
    try:
        status = os.stat(path)
    except OSError:  # missing, or in a folder that is closed to us: unusable either way
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == uid and os.access(path, os.W_OK | os.X_OK)


def make_private_folder(path: str) -> None:
    """Make `path` with mode 0700, or check that it is a folder of ours that nobody else can write.

    Raises `NodeLacks` where another user made it first: under /tmp that is an attack or a mistake.
    """
    try:
        os.makedirs(path, 0o700)
    except FileExistsError:
        status = os.lstat(path)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise NodeLacks(
                f"cannot use the runtime directory {path}: it is not a private folder of yours",
                "remove it, or set XDG_RUNTIME_DIR or RL_RUNROOT to a folder of your own",
            ) from None
