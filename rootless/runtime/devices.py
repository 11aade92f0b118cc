"""The devices that every container has (runtime-spec config-linux.md, "Default Devices") and the links beside them."""

import contextlib
import os
from typing import Final

from rootless.linux import mounts
from rootless.linux.openat2 import open_in_root
from rootless.runtime.mount_points import make_folder, open_target

DEFAULTS: Final = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS: Final = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "core": "/proc/kcore",
    "ptmx": "pts/ptmx",
}


def make_defaults(root: int) -> None:
    """Fill /dev with the node's harmless devices, bound one by one (a user cannot make any), and the usual links.

    What is there already, in a /dev that is no new file system, is bound upon, and links are left.
    """
    try:
        dev = open_in_root(root, "dev", os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        make_folder(root, "dev")
        dev = open_in_root(root, "dev", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in DEFAULTS:
            tree = mounts.clone_tree(f"/dev/{name}", recursive=False)
            try:
                target = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o666, dir_fd=dev)
            except FileExistsError:
                target = open_target(root, f"/dev/{name}", is_folder=False)
            mounts.attach_tree(tree, target, f"/dev/{name}")
            os.close(target)
            os.close(tree)
        for name, target_path in _LINKS.items():
            if name == "core" and not os.path.exists("/proc/kcore"):
                continue  # a kernel without it
            with contextlib.suppress(FileExistsError):
                os.symlink(target_path, name, dir_fd=dev)
    finally:
        os.close(dev)
