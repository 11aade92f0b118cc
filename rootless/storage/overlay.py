"""The driver `overlay`: the kernel's overlayfs with `userxattr` (Linux 5.11; kernel doc filesystems/overlayfs.rst)."""

import os

from rootless.linux import mounts
from rootless.storage.root_filesystem import RootFilesystem

name = "overlay"

# mount(2) takes one page of options.
_PAGE = 4096


def mount(root: RootFilesystem) -> list[int]:
    """Mount the union; names are relative to the folder of the layers, so that 127 of them fit into the page of options."""
    os.chdir(root.layers_folder)
    options = _options(root)
    if len(options) >= _PAGE:
        raise OSError(7, f"mount: {len(root.layers)} layers do not fit into {_PAGE} bytes of options", root.mount_point)
    mounts.mount("overlay", root.mount_point, "overlay", 0, options)
    os.chdir("/")
    return []


def _options(root: RootFilesystem) -> str:
    lower = ":".join(os.path.relpath(layer, root.layers_folder) for layer in root.distinct_layers)
    container = os.path.relpath(root.container_folder, root.layers_folder)
    return f"userxattr,lowerdir={lower},upperdir={container}/upper,workdir={container}/work"
