"""Images mounted for the user to read, in the mount namespace of `rl unshare` (`rl image mount`).

    mounts/SESSION-ID/rootfs    the mount point; SESSION is the mount namespace's inode, ID 12 digits of the image's
    mounts/SESSION-ID/upper     only where the kernel has no overlay for us: a copy of the image's files, which is bound

A mount goes with its namespace. What then stays of the folder is removed by `rl system prune`. While it is there, and its namespace
lives, the image counts as in use (`images.mounted`).
"""

import errno
import os
from collections.abc import Iterator
from typing import NamedTuple

from rootless.errors import NoSuchObject
from rootless.images import mounted
from rootless.images.reach import reach_of
from rootless.images.removal import remove_tree
from rootless.images.store import Image, ImageStore, layer_folders, no_such_image
from rootless.linux import mounts
from rootless.locations import Locations
from rootless.storage import vfs
from rootless.storage.root_filesystem import RootFilesystem, make_folders

# mount(2) takes one page of options.
_PAGE = 4096


class ImageMount(NamedTuple):
    """A mounted image: 12 digits of its ID, and where it is."""

    short_id: str
    path: str


def mount_image(locations: Locations, image: Image) -> str:
    """Mount an image read-only, unless it is mounted, and return the path. The caller is in `rl unshare`.

    Raises `NoSuchObject` where another process has just removed it.
    """
    folder = mounted.folder_of(locations, image.id)
    layers = tuple(layer_folders(locations, image))
    root = RootFilesystem(folder, locations.layers, layers)
    if _is_mounted(root.mount_point):
        return root.mount_point
    remove_tree(folder)  # what a session left whose namespace had the same inode
    # Under the store's lock, so that a removal of the image sees its user, or has been, and we see that.
    store = ImageStore(locations)
    with store.layout.locked():
        is_kept = reach_of(store, store.layout.descriptors()).layer_keys.issuperset(image.layer_keys)
        if not is_kept or not all(os.path.exists(layer) for layer in layers):
            raise no_such_image(next(iter(image.names), image.id))
        os.makedirs(folder, 0o700)
    try:
        make_folders(root)
        mount_read_only(root)
    except OSError:
        remove_tree(folder)
        raise
    return root.mount_point


def mounted_images(locations: Locations) -> list[ImageMount]:
    """Return the images that are mounted in this mount namespace."""
    prefix = mounted.session_prefix(locations)
    points = [point for point in _mount_points() if point.startswith(prefix) and point.endswith("/rootfs")]
    return [ImageMount(point.removeprefix(prefix).partition("/")[0], point) for point in points]


def unmount_image(locations: Locations, image: Image) -> None:
    """Unmount an image. Raises `NoSuchObject` where it is not mounted here."""
    folder = mounted.folder_of(locations, image.id)
    point = f"{folder}/rootfs"
    if not _is_mounted(point):
        raise NoSuchObject(f"the image {mounted.short_id(image.id)} is not mounted", "`rl image mount` lists what is")
    mounts.unmount(point, mounts.MNT_DETACH)
    remove_tree(folder)


def remove_leftovers(locations: Locations) -> None:
    """Remove the folders of sessions that have ended; runs in the parent namespace."""
    for folder in mounted.left_over(locations):
        remove_tree(folder)


def mount_read_only(root: RootFilesystem) -> None:
    """Mount an image's layers at `root.mount_point`, by the kernel's overlay or else as a copy in `root.upper`."""
    try:
        if len(root.distinct_layers) > 1:
            _mount_overlay(root)
        else:  # the kernel's overlay wants two
            _bind(root.layers[0] if root.layers else root.upper, root.mount_point)
    except OSError as error:
        if error.errno not in {errno.ENODEV, errno.EPERM, errno.EINVAL, errno.E2BIG}:
            raise
        vfs.copy_layers(root)
        _bind(root.upper, root.mount_point)


def _mount_overlay(root: RootFilesystem) -> None:
    back = os.open(".", os.O_PATH | os.O_CLOEXEC)
    os.chdir(root.layers_folder)
    try:
        options = f"userxattr,lowerdir={':'.join(os.path.relpath(layer, root.layers_folder) for layer in root.distinct_layers)}"
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


def _is_mounted(point: str) -> bool:
    return point in set(_mount_points())


def _mount_points() -> Iterator[str]:
    """Yield this namespace's mount points (proc_pid_mountinfo(5): the fifth field, with octal escapes)."""
    with open("/proc/self/mountinfo", "rb") as lines:
        for line in lines:
            yield os.fsdecode(line.split(b" ")[4].decode("unicode_escape").encode("latin-1"))
