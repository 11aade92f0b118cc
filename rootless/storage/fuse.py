"""The driver `fuse`: the union in user space, served by `fuse_overlay` (DESIGN section 4).

The mount is made here, in the container's user namespace, so that set-ID programs and devices work without fusermount3; the server
takes the descriptor of /dev/fuse over, with those of the folders. The kernel queues what is asked before the server is ready.
"""

import os

from rootless.errors import NodeLacks
from rootless.linux import mounts
from rootless.storage.root_filesystem import RootFilesystem

name = "fuse"

_DEVICE = "/dev/fuse"


def mount(root: RootFilesystem) -> list[int]:
    """Mount and return the descriptors of /dev/fuse, the upper, the work folder and the layers, topmost first."""
    device = _open_device()
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    mounts.mount("fuse_overlay", root.mount_point, "fuse", 0, options)
    folders = (root.upper, root.work, *root.layers)
    return [device, *(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) for folder in folders)]


def _open_device() -> int:
    try:
        return os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise NodeLacks(
            f"cannot serve the container's root by FUSE: {error.strerror}: {_DEVICE}",
            "ask the administrator to make it readable and writable (mode 0666, module fuse), or use another --storage-driver",
        ) from None
