"""The mounts of a container's root, made before the change of root, in the container's user and mount namespaces.

Every destination is a descriptor inside the new root (`mount_points`): nothing of the image can lead a mount elsewhere.
"""

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rootless.errors import InvalidInput, RlError
from rootless.linux import mounts
from rootless.linux.openat2 import open_in_root
from rootless.runtime import devices
from rootless.runtime.mount_flags import Change, MountOptions, parse_options
from rootless.runtime.mount_points import open_if_there, open_target

_DEV: Final = "/dev"
# Flags as statvfs(3) shows them -> as mount_setattr(2) takes them; the access-time field is apart.
_SHOWN_FLAGS: Final = {
    1: mounts.MOUNT_ATTR_RDONLY,
    2: mounts.MOUNT_ATTR_NOSUID,
    4: mounts.MOUNT_ATTR_NODEV,
    8: mounts.MOUNT_ATTR_NOEXEC,
    2048: mounts.MOUNT_ATTR_NODIRATIME,
    8192: mounts.MOUNT_ATTR_NOSYMFOLLOW,
}
_SHOWN_NOATIME: Final = 1024
_SHOWN_RELATIME: Final = 4096
# File systems that the kernel mounts only for the owner of a namespace that is the node's here: the node's own is shown.
_OF_NODE: Final = {"sysfs": "/sys", "mqueue": "/dev/mqueue"}
_KERNEL_OWN: Final = ("proc", "sysfs")


def mount_all(
    root: int, requests: Sequence[Mapping[str, Any]], *, single_id: bool, id_maps: Mapping[int, int] | None = None
) -> None:
    """Make all mounts of an OCI config in order below the directory that the descriptor `root` refers to, and the devices of /dev.

    `single_id`: only one ID is mapped, so options that name a group are left out (the kernel refuses them).
    `id_maps`: by the number of the mount, the descriptor of the user namespace that maps its IDs.
    """
    for index, request in enumerate(requests):
        options = parse_options(request.get("options") or ())
        kind = request.get("type")
        try:
            if options.flags & mounts.MS_REMOUNT:
                _remount(root, request["destination"], options)
            elif options.flags & mounts.MS_BIND or kind == "bind":
                _bind(root, request, options, (id_maps or {}).get(index))
            else:
                _mount_new(root, request, options, (id_maps or {}).get(index), single_id=single_id)
        except OSError as error:
            raise _explained(error, request) from error
        if kind == "tmpfs" and request["destination"] == _DEV:
            devices.make_defaults(root)
    if all(os.path.normpath(request["destination"]) != _DEV for request in requests):
        devices.make_defaults(root)


def bind_all(root: int, requests: Sequence[Mapping[str, Any]]) -> None:
    """Make bind mounts of an OCI config, and nothing else, below the directory that the descriptor `root` refers to."""
    for request in requests:
        try:
            _bind(root, request, parse_options(request.get("options") or ()), None)
        except OSError as error:
            raise _explained(error, request) from error


def _explained(error: OSError, request: Mapping[str, Any]) -> RlError:
    destination, source = request["destination"], request.get("source")
    if error.errno == errno.ENOENT and error.filename == source:
        return InvalidInput(f"cannot mount {source} at {destination}: the source does not exist", "create it first")
    hint = None
    if error.errno == errno.EINVAL and error.filename == source:  # from open_tree(2)
        hint = "what the node has mounted below it cannot be left out: use rbind"
    elif error.errno in (errno.EINVAL, errno.ENOTDIR):  # from move_mount(2) and from mount(2)
        hint = "a folder can be mounted upon a folder only, and a file upon a file; see also the mount's options"
    elif error.errno == errno.ELOOP:
        hint = "the image has symbolic links there that lead in a circle, or that must not be followed"
    elif error.errno == errno.EPERM:
        hint = "the kernel keeps such a mount, or a flag of the node's mount that is locked, from a user's container"
    return RlError(f"cannot mount {source or request.get('type')} at {destination}: {error.strerror}", hint)


def _bind(root: int, request: Mapping[str, Any], options: MountOptions, id_map: int | None) -> None:
    destination = request["destination"]
    if not request.get("source"):
        raise InvalidInput(f"cannot mount at {destination}: a bind mount needs a source")
    if options.data:
        raise InvalidInput(
            f"cannot mount {request['source']} at {destination}: unknown option {options.data.split(',')[0]}",
            "a bind mount has no options of a file system",
        )
    recursive = bool(options.flags & mounts.MS_REC)
    tree = mounts.clone_tree(request["source"], recursive)
    try:
        _set_options(tree, options, destination, id_map, propagations=options.propagations or ((mounts.MS_PRIVATE, True),))
        _attach(root, tree, destination)
    finally:
        os.close(tree)


def _attach(root: int, tree: int, destination: str) -> None:
    target = open_target(root, destination, is_folder=stat.S_ISDIR(os.fstat(tree).st_mode))
    try:
        mounts.attach_tree(tree, target, destination)
    finally:
        os.close(target)


def _set_options(
    tree: int, options: MountOptions, destination: str, id_map: int | None, propagations: tuple[tuple[int, bool], ...]
) -> None:
    """Give a mount its own flags, those for all below it, its ID map and its propagation."""
    _change(tree, options.own, False, destination)
    _change(tree, options.recursive, True, destination)
    if id_map is not None:
        _map_ids(tree, options, destination, id_map)
    for propagation, recursive in propagations:
        mounts.set_attributes(tree, 0, recursive, destination, propagation)


def _map_ids(tree: int, options: MountOptions, destination: str, id_map: int) -> None:
    try:
        mounts.set_attributes(tree, mounts.MOUNT_ATTR_IDMAP, options.id_map == "ridmap", destination, id_map=id_map)
    except OSError as error:
        raise RlError(
            f"cannot map the IDs of the mount at {destination}: {os.strerror(error.errno or 0)}",
            "the kernel maps IDs for the owner of a file system only: in a user's container for what it mounted itself (tmpfs)",
        ) from None


def _change(tree: int, change: Change, recursive: bool, destination: str) -> None:
    """Set and clear flags of a mount; a flag that is locked and should be cleared stays, as in runc and crun.

    A mount that comes from a more privileged namespace has its flags locked (mount_namespaces(7)): nosuid of the node's /tmp stays
    nosuid, although engines write `suid` or `rw` as a matter of course.
    """
    if change == (0, 0):
        return
    try:
        mounts.set_attributes(tree, change.setting, recursive, destination, clear=change.clearing)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        possible = _without_locked(change, os.fstatvfs(tree).f_flag)
        if possible == change:
            raise
        mounts.set_attributes(tree, possible.setting, recursive, destination, clear=possible.clearing)


def _without_locked(change: Change, shown: int) -> Change:
    """Return what is left of a change to a mount whose flags are all locked, when its flags are `shown` by statvfs(3)."""
    setting, clearing = change
    for flag, attribute in _SHOWN_FLAGS.items():
        if shown & flag:
            clearing &= ~attribute
    atime = mounts.MOUNT_ATTR_STRICTATIME
    if shown & _SHOWN_NOATIME:
        atime = mounts.MOUNT_ATTR_NOATIME
    elif shown & _SHOWN_RELATIME:
        atime = mounts.MOUNT_ATTR_RELATIME
    if clearing & mounts.MOUNT_ATTR__ATIME and setting & mounts.MOUNT_ATTR__ATIME == atime:
        setting, clearing = setting & ~mounts.MOUNT_ATTR__ATIME, clearing & ~mounts.MOUNT_ATTR__ATIME
    return Change(setting, clearing)


def _mount_new(root: int, request: Mapping[str, Any], options: MountOptions, id_map: int | None, *, single_id: bool) -> None:
    kind, destination = request.get("type"), request["destination"]
    if not kind:
        raise InvalidInput(f"cannot mount at {destination}: neither a type nor the option bind is given")
    data = options.data
    if single_id:
        data = ",".join(option for option in data.split(",") if not option.startswith("gid="))
    flags = options.flags & ~mounts.MS_REC
    if _is_filled_later(request, options):
        flags &= ~mounts.MS_RDONLY
    target = _open_kernel_point(root, destination) if kind in _KERNEL_OWN else open_target(root, destination, is_folder=True)
    below = open_in_root(root, destination, os.O_RDONLY | os.O_DIRECTORY) if options.copy_up else -1
    try:
        if not _mount_kind(kind, request.get("source") or kind, target, flags, data):
            return
        if options.recursive != (0, 0) or options.propagations or id_map is not None:
            _set_options_of_new(root, destination, options, id_map)
        if options.copy_up:
            from rootless.runtime import copy_up  # rare: loaded already, before the interpreter was closed (`extras`)

            copy_up.copy_tree(below, root, destination, _mode_of(data))
    finally:
        os.close(target)
        if below >= 0:
            os.close(below)


def _mode_of(data: str) -> int | None:
    """Return the mode that a tmpfs's options name; the kernel has refused one that is malformed."""
    modes = [option.removeprefix("mode=") for option in data.split(",") if option.startswith("mode=")]
    return int(modes[-1], 8) if modes else None


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


def _mount_kind(kind: str, source: str, target: int, flags: int, data: str) -> bool:
    """Mount a file system of its own; False where there is none to be had, and the container does without."""
    point = f"/proc/self/fd/{target}"
    try:
        if kind in ("cgroup", "cgroup2"):
            mounts.mount("cgroup", point, "cgroup2", flags)
        else:
            mounts.mount(source, point, kind, flags, data or None)
    except OSError as error:
        if kind in ("cgroup", "cgroup2"):
            # Where the kernel keeps the tree from us, the folder stays empty, as in Docker without cgroups.
            if error.errno not in (errno.EPERM, errno.EBUSY, errno.ENODEV):
                raise
            return False
        if error.errno == errno.EPERM and kind in _OF_NODE:
            _bind_of_node(_OF_NODE[kind], target, flags)
        else:
            raise
    return True


def _bind_of_node(source: str, target: int, flags: int) -> None:
    """Show the node's own file system with all that is mounted below it."""
    tree = mounts.clone_tree(source, recursive=True)
    try:
        mounts.set_attributes(tree, 0, True, source, mounts.MS_PRIVATE)
        if flags & mounts.MS_RDONLY:
            mounts.set_attributes(tree, mounts.MOUNT_ATTR_RDONLY, True, source)
        mounts.attach_tree(tree, target, source)
    finally:
        os.close(tree)


def _set_options_of_new(root: int, destination: str, options: MountOptions, id_map: int | None) -> None:
    """Do to a new mount what mount(2) did not; IDs can be mapped only of a mount that nobody has seen yet, so of a copy of it."""
    mounted = open_in_root(root, destination, os.O_PATH)
    try:
        if id_map is not None:
            tree = mounts.clone_tree("", recursive=False, directory=mounted)
            _map_ids(tree, options, destination, id_map)
            mounts.unmount(f"/proc/self/fd/{mounted}", mounts.MNT_DETACH)
            _attach(root, tree, destination)
            os.close(mounted)
            mounted = tree
        _set_options(mounted, options, destination, None, options.propagations)
    finally:
        os.close(mounted)


def _is_filled_later(request: Mapping[str, Any], options: MountOptions) -> bool:
    """Tell whether a new file system cannot be read-only from the start."""
    return options.copy_up or request["destination"] == _DEV


def finish(root: int, requests: Sequence[Mapping[str, Any]]) -> None:
    """Make read-only what should be, and was not yet: what it holds is there now, the terminal in /dev as well."""
    for request in requests:
        asked = request.get("options") or ()
        if "ro" not in asked:
            continue
        options = parse_options(asked)
        if options.flags & (mounts.MS_BIND | mounts.MS_REMOUNT) or not _is_filled_later(request, options):
            continue
        mounted = open_in_root(root, request["destination"], os.O_PATH)
        mounts.set_attributes(mounted, mounts.MOUNT_ATTR_RDONLY, False, request["destination"])
        os.close(mounted)


def _remount(root: int, destination: str, options: MountOptions) -> None:
    """Change the options of what is mounted there: those of the mount, or with data those of its file system, too."""
    mounted = open_in_root(root, destination, os.O_PATH)
    try:
        if options.data and not options.flags & mounts.MS_BIND:
            mounts.mount(None, f"/proc/self/fd/{mounted}", None, options.flags, options.data)
        _set_options(mounted, options, destination, None, options.propagations)
    finally:
        os.close(mounted)


def mask(root: int, paths: Sequence[str]) -> None:
    """Hide paths: a file by /dev/null, a folder by an empty read-only tmpfs; what is not there needs nothing."""
    for path in paths:
        target = open_if_there(root, path)
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
        target = open_if_there(root, path)
        if target is None:
            continue
        try:
            tree = mounts.clone_tree("", recursive=True, directory=target)
            mounts.set_attributes(tree, mounts.MOUNT_ATTR_RDONLY, True, path)
            mounts.attach_tree(tree, target, path)
            os.close(tree)
        finally:
            os.close(target)
