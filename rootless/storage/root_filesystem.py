"""What a container's root is made of, and the interface of the storage drivers that mount it."""

import os
from typing import NamedTuple, Protocol

from rootless.locations import Locations


class RootFilesystem(NamedTuple):
    """One container's root: the read-only layers of its image below a writable upper in the container's folder."""

    container_folder: str
    layers_folder: str
    layers: tuple[str, ...]  # absolute folders, topmost first

    @property
    def distinct_layers(self) -> tuple[str, ...]:
        """The layers, each once: the kernel's overlay refuses one twice; the upper one hides the other."""
        return tuple(dict.fromkeys(self.layers))

    @property
    def upper(self) -> str:
        """What the container changed, in the kernel overlay's userxattr form."""
        return f"{self.container_folder}/upper"

    @property
    def work(self) -> str:
        """The overlay's scratch folder, on the same file system as the upper."""
        return f"{self.container_folder}/work"

    @property
    def mount_point(self) -> str:
        """Where the root is mounted, in the container's own mount namespace only."""
        return f"{self.container_folder}/rootfs"


class StorageDriver(Protocol):
    """Mounts a container's root. `mount` runs in the container's user and mount namespaces, as their root."""

    name: str

    def mount(self, root: RootFilesystem) -> list[int]:
        """Mount at `root.mount_point`; return the descriptors that the driver's server needs, which the caller closes."""
        ...


def of_container(locations: Locations, container_id: str, layers: tuple[str, ...]) -> RootFilesystem:
    """Return the root file system of a container whose folder is named by its ID."""
    return RootFilesystem(f"{locations.containers}/{container_id}", locations.layers, layers)


def make_folders(root: RootFilesystem) -> None:
    """Make the folders of a new container's root, the upper with the mode that the image gives to `/`."""
    for folder, mode in ((root.upper, _root_mode(root)), (root.work, 0o700), (root.mount_point, 0o700)):
        os.mkdir(folder)
        os.chmod(folder, mode)  # mkdir's mode is cut by the umask


def _root_mode(root: RootFilesystem) -> int:
    return os.stat(root.layers[0]).st_mode & 0o7777 if root.layers else 0o755
