"""Images mounted for the user to read, in the mount namespace of `rl unshare` (`rl image mount`).

    mounts/SESSION-ID/rootfs    the mount point; SESSION is the mount namespace's inode, ID 12 digits of the image's
    mounts/SESSION-ID/upper     only where the kernel has no overlay for us: a copy of the image's files, which is bound

A mount goes with its namespace. What then stays of the folder is removed by `rl system prune`.
"""

import errno
import os
from collections.abc import Iterator
from typing import NamedTuple

from rootless.errors import NoSuchObject
from rootless.images.removal import remove_tree
from rootless.images.store import Image, layer_folders
from rootless.linux import mounts
from rootless.locations import Locations
from rootless.storage import vfs
from rootless.storage.root_filesystem import RootFilesystem, make_folders

# mount(2) takes one page of options.
_PAGE = 4096
_SHORT_ID = 12


class ImageMount(NamedTuple):
    """A mounted image: 12 digits of its ID, and where it is."""

    short_id: str
    path: str


def mount_image(locations: Locations, image: Image) -> str:
    """Mount an image read-only, unless it is mounted, and return the path. The caller is in `rl unshare`."""
    folder = _folder(locations, _short(image))
    layers = tuple(layer_folders(locations, image))
    root = RootFilesystem(folder, locations.layers, layers)
    if _is_mounted(root.mount_point):
        return root.mount_point
    remove_tree(folder)  # what a session left whose namespace had the same inode
    os.makedirs(folder, 0o700)
    make_folders(root)
    try:
        if len(layers) > 1:
            _mount_overlay(root)
        else:  # the kernel's overlay wants two
            _bind(layers[0] if layers else root.upper, root.mount_point)
    except OSError as error:
        if error.errno not in {errno.ENODEV, errno.EPERM, errno.EINVAL, errno.E2BIG}:
            raise
        vfs.copy_layers(root)
        _bind(root.upper, root.mount_point)
    return root.mount_point


def mounted_images(locations: Locations) -> list[ImageMount]:
    """Return the images that are mounted in this mount namespace."""
    prefix = f"{_session(locations)}-"
    points = [point for point in _mount_points() if point.startswith(prefix) and point.endswith("/rootfs")]
    return [ImageMount(point.removeprefix(prefix).partition("/")[0], point) for point in points]


def unmount_image(locations: Locations, image: Image) -> None:
    """Unmount an image. Raises `NoSuchObject` where it is not mounted here."""
    short_id = _short(image)
    point = f"{_folder(locations, short_id)}/rootfs"
    if not _is_mounted(point):
        raise NoSuchObject(f"the image {short_id} is not mounted", "`rl image mount` lists what is")
    mounts.unmount(point, mounts.MNT_DETACH)
    remove_tree(_folder(locations, short_id))


def remove_leftovers(locations: Locations) -> None:
    """Remove the folders of sessions that have ended; runs in the parent namespace."""
    try:
        names = os.listdir(f"{locations.data_root}/mounts")
    except FileNotFoundError:
        return
    living = set(_living_sessions())
    for name in names:
        if name.partition("-")[0] not in living:
            remove_tree(f"{locations.data_root}/mounts/{name}")


def _mount_overlay(root: RootFilesystem) -> None:
    back = os.open(".", os.O_PATH | os.O_CLOEXEC)
    os.chdir(root.layers_folder)
    try:
        options = f"userxattr,lowerdir={':'.join(os.path.relpath(layer, root.layers_folder) for layer in root.layers)}"
        if len(options) >= _PAGE:
            raise OSError(errno.E2BIG, f"{len(root.layers)} layers do not fit into {_PAGE} bytes of options", root.mount_point)
        mounts.mount("overlay", root.mount_point, "overlay", mounts.MS_RDONLY, options)
    finally:
        os.fchdir(back)
        os.close(back)


def _bind(source: str, target: str) -> None:
    tree = mounts.clone_tree(source, recursive=False)
    point = os.open(target, os.O_PATH | os.O_CLOEXEC)
    try:
        mounts.set_attributes(tree, mounts.MOUNT_ATTR_RDONLY, recursive=False, name=target)
        mounts.attach_tree(tree, point, target)
    finally:
        os.close(tree)
        os.close(point)


def _short(image: Image) -> str:
    return image.id.removeprefix("sha256:")[:_SHORT_ID]


def _session(locations: Locations) -> str:
    return f"{locations.data_root}/mounts/{os.stat('/proc/self/ns/mnt').st_ino}"


def _folder(locations: Locations, short_id: str) -> str:
    return f"{_session(locations)}-{short_id}"


def _is_mounted(point: str) -> bool:
    return point in set(_mount_points())


def _mount_points() -> Iterator[str]:
    """Yield this namespace's mount points (proc_pid_mountinfo(5): the fifth field, with octal escapes)."""
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            yield os.fsdecode(line.split(b" ")[4].decode("unicode_escape").encode("latin-1"))


def _living_sessions() -> Iterator[str]:
    """Yield the inodes of the mount namespaces of all processes that are ours to look at."""
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                yield str(os.stat(f"/proc/{name}/ns/mnt").st_ino)
            except (PermissionError, FileNotFoundError, ProcessLookupError):
                continue  # another user's, or just ended
