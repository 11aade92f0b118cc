"""The mounts of a container's root, made before the change of root, in the container's user and mount namespaces.

Every destination is opened with openat2 inside the new root (RESOLVE_IN_ROOT, no magic links), made where it is missing, and
mounted upon by descriptor: a symbolic link of the image cannot lead a mount elsewhere, whenever it is put there.
"""

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from rootless.errors import InvalidInput, RlError
from rootless.linux import mounts
from rootless.linux.openat2 import open_in_root

# OCI and mount(8) option -> (MS_* flag to set, MS_* flag to clear).
_FLAG_OPTIONS: Final = {
    "ro": (mounts.MS_RDONLY, 0),
    "rw": (0, mounts.MS_RDONLY),
    "nosuid": (mounts.MS_NOSUID, 0),
    "suid": (0, mounts.MS_NOSUID),
    "nodev": (mounts.MS_NODEV, 0),
    "dev": (0, mounts.MS_NODEV),
    "noexec": (mounts.MS_NOEXEC, 0),
    "exec": (0, mounts.MS_NOEXEC),
    "relatime": (mounts.MS_RELATIME, 0),
    "strictatime": (mounts.MS_STRICTATIME, 0),
    "bind": (mounts.MS_BIND, 0),
    "rbind": (mounts.MS_BIND | mounts.MS_REC, 0),
}
_PROPAGATIONS: Final = {
    "private": (mounts.MS_PRIVATE, False),
    "rprivate": (mounts.MS_PRIVATE, True),
    "slave": (mounts.MS_SLAVE, False),
    "rslave": (mounts.MS_SLAVE, True),
    "shared": (mounts.MS_SHARED, False),
    "rshared": (mounts.MS_SHARED, True),
}
_ATTRIBUTES: Final = {
    mounts.MS_RDONLY: mounts.MOUNT_ATTR_RDONLY,
    mounts.MS_NOSUID: mounts.MOUNT_ATTR_NOSUID,
    mounts.MS_NODEV: mounts.MOUNT_ATTR_NODEV,
    mounts.MS_NOEXEC: mounts.MOUNT_ATTR_NOEXEC,
}
_KERNEL_OWN: Final = ("proc", "sysfs")
_MAX_LINKS: Final = 40  # as the kernel's own limit, path_resolution(7)
_DEVICES: Final = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS: Final = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "core": "/proc/kcore",
    "ptmx": "pts/ptmx",
}


class MountOptions(NamedTuple):
    """Options of one OCI mount, taken apart."""

    flags: int
    propagation: int
    propagation_recursive: bool
    data: str


def parse_options(options: Sequence[str]) -> MountOptions:
    """Take the options of an OCI mount apart; what is no flag and no propagation goes to the file system as data."""
    flags = propagation = 0
    recursive = False
    data = []
    for option in options:
        if option in _FLAG_OPTIONS:
            setting, clearing = _FLAG_OPTIONS[option]
            flags = flags & ~clearing | setting
        elif option in _PROPAGATIONS:
            propagation, recursive = _PROPAGATIONS[option]
        else:
            data.append(option)
    return MountOptions(flags, propagation, recursive, ",".join(data))


def mount_all(root: int, requests: Sequence[Mapping[str, Any]], *, single_id: bool) -> None:
    """Make all mounts of an OCI config in order below the directory that the descriptor `root` refers to.

    `single_id`: only one ID is mapped, so options that name a group are left out (the kernel refuses them).
    """
    for request in requests:
        destination = request["destination"]
        options = parse_options(request.get("options") or ())
        try:
            if options.flags & mounts.MS_BIND:
                _bind(root, request["source"], destination, options)
            else:
                _mount_new(root, request, options, single_id=single_id)
        except OSError as error:
            raise _explained(error, request) from error


def _explained(error: OSError, request: Mapping[str, Any]) -> RlError:
    destination, source = request["destination"], request.get("source")
    if error.errno == errno.ENOENT and error.filename == source:
        return InvalidInput(f"cannot mount {source} at {destination}: the source does not exist", "create it first")
    hint = None
    if error.errno in (errno.EINVAL, errno.ENOTDIR):  # from move_mount(2) and from mount(2)
        hint = "a folder can be mounted upon a folder only, and a file upon a file"
    elif error.errno == errno.ELOOP:
        hint = "the image has symbolic links there that lead in a circle, or that must not be followed"
    return RlError(f"cannot mount {source or request.get('type')} at {destination}: {error.strerror}", hint)


def _bind(root: int, source: str, destination: str, options: MountOptions) -> None:
    recursive = bool(options.flags & mounts.MS_REC)
    tree = mounts.clone_tree(source, recursive)
    try:
        is_folder = stat.S_ISDIR(os.fstat(tree).st_mode)
        _set_attributes(tree, options, destination, recursive=recursive)
        target = open_target(root, destination, is_folder=is_folder)
        try:
            mounts.attach_tree(tree, target, destination)
        finally:
            os.close(target)
    finally:
        os.close(tree)


def _set_attributes(tree: int, options: MountOptions, destination: str, *, recursive: bool) -> None:
    attributes = 0
    for flag, attribute in _ATTRIBUTES.items():
        if options.flags & flag:
            attributes |= attribute
    mounts.set_attributes(tree, 0, True, destination, options.propagation or mounts.MS_PRIVATE)
    if attributes:
        mounts.set_attributes(tree, attributes, recursive and attributes == mounts.MOUNT_ATTR_RDONLY, destination)


def _mount_new(root: int, request: Mapping[str, Any], options: MountOptions, *, single_id: bool) -> None:
    kind, destination = request["type"], request["destination"]
    data = options.data
    if single_id:
        data = ",".join(option for option in data.split(",") if not option.startswith("gid="))
    target = _open_kernel_point(root, destination) if kind in _KERNEL_OWN else open_target(root, destination, is_folder=True)
    try:
        point = f"/proc/self/fd/{target}"
        if kind == "cgroup":
            _mount_cgroup(point, options.flags)
            return
        mounts.mount(request.get("source") or kind, point, kind, options.flags, data or None)
    finally:
        os.close(target)
    if kind == "tmpfs" and destination == "/dev":
        populate_dev(root)


def _open_kernel_point(root: int, destination: str) -> int:
    """Return a descriptor of where procfs or sysfs is mounted, which must be what its path says.

    Through a link of the image it would be somewhere else, and the masks and read-only paths upon files of the image
    (CVE-2019-19921, CVE-2023-27561).
    """
    target = open_target(root, destination, is_folder=True, flags=os.O_NOFOLLOW)
    if stat.S_ISDIR(os.fstat(target).st_mode):
        return target
    os.close(target)
    raise InvalidInput(f"cannot mount {destination}: the image has no folder there, but something else", "make the image anew")


def _mount_cgroup(point: str, flags: int) -> None:
    """Mount the version 2 tree; where the kernel keeps that from us, the folder stays empty, as in Docker without cgroups."""
    try:
        mounts.mount("cgroup", point, "cgroup2", flags)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EBUSY, errno.ENODEV):
            raise


def populate_dev(root: int) -> None:
    """Fill the new /dev with the node's harmless devices, bound one by one, and the usual links."""
    dev = open_in_root(root, "dev", os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in _DEVICES:
            tree = mounts.clone_tree(f"/dev/{name}", recursive=False)
            target = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o666, dir_fd=dev)
            mounts.attach_tree(tree, target, f"/dev/{name}")
            os.close(target)
            os.close(tree)
        for name, target_path in _DEVICE_LINKS.items():
            os.symlink(target_path, name, dir_fd=dev)
    finally:
        os.close(dev)


def open_target(root: int, destination: str, *, is_folder: bool, flags: int = 0) -> int:
    """Return an O_PATH descriptor of a mount's destination, made with its folders where the image lacks it.

    A symbolic link to nothing has its target made, inside the root: images have /etc/resolv.conf as one into /run.
    """
    for _link in range(_MAX_LINKS):
        try:
            return open_in_root(root, destination, os.O_PATH | flags)
        except FileNotFoundError:
            destination = _make_target(root, destination, is_folder=is_folder)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), destination)


def _make_target(root: int, destination: str, *, is_folder: bool) -> str:
    """Make the last component of a destination with the folders above it; returns where a link in its place leads instead."""
    folder, _, name = destination.rstrip("/").rpartition("/")
    parent = _make_folders(root, folder)
    try:
        link = _link_target(parent, name)
        if link is not None:
            return link if link.startswith("/") else f"{folder}/{link}"
        if name in (".", ".."):
            return destination  # of a link; the folders above it are what was missing
        if is_folder:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
    finally:
        os.close(parent)
    return destination


def _link_target(folder: int, name: str) -> str | None:
    """Return where a symbolic link leads, or None for anything else, or nothing, under that name."""
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOENT):
            raise
        return None


def make_folder(root: int, path: str) -> None:
    """Make a folder with its parents inside the root, as mkdir -p does."""
    os.close(_make_folders(root, path.strip("/")))


def _make_folders(root: int, path: str) -> int:
    """Return a descriptor of `path` below the root, making what is missing, one component at a time."""
    current = open_in_root(root, ".", os.O_RDONLY | os.O_DIRECTORY)
    walked, links = "", 0
    ahead = path.split("/")[::-1]
    while ahead:
        component = ahead.pop()
        if component in ("", "."):
            continue
        link = None
        try:
            following = open_in_root(root, f"{walked}/{component}", os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            link = _link_target(current, component)
            if link is None:
                os.mkdir(component, 0o755, dir_fd=current)
                following = open_in_root(root, f"{walked}/{component}", os.O_RDONLY | os.O_DIRECTORY)
            else:
                following = open_in_root(root, "/" if link.startswith("/") else walked or "/", os.O_RDONLY | os.O_DIRECTORY)
        os.close(current)
        current = following
        if link is None:
            walked = f"{walked}/{component}"
            continue
        links += 1
        if links == _MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        walked = "" if link.startswith("/") else walked
        ahead.extend(link.split("/")[::-1])
    return current


def mask(root: int, paths: Sequence[str]) -> None:
    """Hide paths: a file by /dev/null, a folder by an empty read-only tmpfs; what is not there needs nothing."""
    for path in paths:
        target = _open_if_there(root, path)
        if target is None:
            continue
        try:
            if stat.S_ISDIR(os.fstat(target).st_mode):
                mounts.mount("tmpfs", f"/proc/self/fd/{target}", "tmpfs", mounts.MS_RDONLY, "size=0k,nr_inodes=2")
            else:
                null = mounts.clone_tree("/dev/null", recursive=False)
                mounts.attach_tree(null, target, path)
                os.close(null)
        finally:
            os.close(target)


def make_read_only(root: int, paths: Sequence[str]) -> None:
    """Bind each path upon itself, read-only with all below it; what is not there needs nothing."""
    for path in paths:
        target = _open_if_there(root, path)
        if target is None:
            continue
        try:
            tree = mounts.clone_tree("", recursive=True, directory=target)
            mounts.set_attributes(tree, mounts.MOUNT_ATTR_RDONLY, True, path)
            mounts.attach_tree(tree, target, path)
            os.close(tree)
        finally:
            os.close(target)


def _open_if_there(root: int, path: str) -> int | None:
    try:
        return open_in_root(root, path, os.O_PATH)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
