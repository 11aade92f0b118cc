"""What the stage makes for a container's mounts before init binds it: overlays, images, paths within volumes, files of secrets.

Theory of operation. An OCI mount has a source and no more, so what needs more is mounted first, by the stage, in the container's
user and mount namespaces, where it is gone with them:

    CONTAINER/staging        a tmpfs, in the stage's mount namespace only
    CONTAINER/staging/N      point N: a bind of an overlay, of an image, or of a path within a volume; an OCI mount binds it
    CONTAINER/overlays/N     on disk: upper, work and rootfs of point N; thrown away at the next start and at the end

The record lists the points in `Rl.Staging.Points`, and beside them `CopyUp` (volumes that get what the image has, until a start
has seen to it) and `Owned` (folders of the node whose owner becomes the container's user: the outer stage does that, which has
every ID).

A path within a volume or image is opened inside of it by openat2(2), and what was opened is what is bound: a symbolic link that
another container puts there meanwhile leads nowhere else.
"""

import errno
import os
import stat
from collections.abc import Callable, Mapping
from typing import Any, Final

from rootless.containers.documents import Document
from rootless.errors import InUse, InvalidInput, RlError
from rootless.images import layers as image_layers
from rootless.linux import mounts
from rootless.linux.openat2 import open_in_root
from rootless.locations import Locations
from rootless.runtime.mount_flags import parse_options
from rootless.storage import copy_up, overlay, ownership, vfs
from rootless.storage.image_mount import mount_read_only
from rootless.storage.root_filesystem import RootFilesystem, make_folders

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# The kernel has no overlay for us, or not there: the files are copied.
_NO_OVERLAY: Final = frozenset({errno.ENODEV, errno.EPERM, errno.EINVAL, errno.E2BIG, errno.EOPNOTSUPP})


class Staging:
    """What the stage has to make for one container, from its record."""

    def __init__(self, locations: Locations, document: Document) -> None:
        self._locations = locations
        self._folder = f"{locations.containers}/{document['Id']}"
        self._wanted: Mapping[str, Any] = document["Rl"].get("Staging") or {}
        self._place_of_all = f"{self._folder}/staging"
        self._is_mounted = False
        self._secrets: list[bytes] = []
        self._held: dict[str, str] = {}  # a volume's folder -> what holds it

    @property
    def owned(self) -> tuple[str, ...]:
        """Paths on the node that get the container's user as their owner."""
        return tuple(self._wanted.get("Owned") or ())

    @property
    def has_overlays(self) -> bool:
        """Whether anything is kept in the container's folder `overlays`."""
        return any(point["Kind"] in {"overlay", "image"} for point in self._wanted.get("Points") or ())

    @property
    def given(self) -> tuple[str, ...]:
        """Paths on the node that get the container's root as their owner where it cannot reach what is the user's."""
        return tuple(target for _volume, target, _path in self._wanted.get("CopyUp") or ())

    def hold(self) -> dict[str, str]:
        """Mount and open, as the user, what the container's root cannot reach (see `rootless.runtime.unreachable`).

        Returns the place of what `make` makes, and what holds it.
        """
        from rootless.runtime.unreachable import held  # few containers have such ID maps

        self._mount("mode=0700,uid=0,gid=0")
        self._held = {target: f"{held(target)}/." for target in self.given}  # as what it is, not as a link to it
        if not self._has_place:
            return {}
        place, self._place_of_all = self._place_of_all, held(self._place_of_all)
        return {place: self._place_of_all}

    def _mount(self, options: str) -> None:
        """Mount the place of all, and read what is to be written there."""
        if self._has_place:
            os.makedirs(self._place_of_all, 0o700, exist_ok=True)
            mounts.mount("tmpfs", self._place_of_all, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, options)
        if self._wanted.get("Secrets"):
            from rootless.containers.secrets_of_container import values_of  # rarely asked for

            self._secrets = values_of(self._wanted["Secrets"])
        self._is_mounted = True

    def make(self, root_path: str, user: Mapping[str, Any] | None) -> None:
        """Make everything; runs in the stage, with the container's root at `root_path`.

        `user` is the OCI process's; with None, for a copy into a container that does not run, nothing changes its owner. Raises
        `RlError` and `OSError`.
        """
        if not self._is_mounted:
            self._mount("mode=0700")
        root = os.open(root_path, _FOLDER)
        try:
            for point in self._wanted.get("Points") or ():
                _MAKERS[point["Kind"]](self, point, root)
                if point["Owned"] and user is not None:
                    ownership.give_tree(self._place(point), user["uid"], user["gid"])
            if self._secrets:
                from rootless.containers.secrets_of_container import make_files  # rarely asked for

                make_files(self._place_of_all, self._wanted["Secrets"], self._secrets)
            for volume, target, path in self._wanted.get("CopyUp") or ():
                held = self._held.get(target)
                copy_up.copy_up(held or volume, held or target, root, path)
        finally:
            os.close(root)

    @property
    def _has_place(self) -> bool:
        return bool(self._wanted.get("Points") or self._wanted.get("Secrets"))

    def _place(self, point: Mapping[str, Any]) -> str:
        return f"{self._place_of_all}/{point['Number']}"

    def _overlay_of(self, point: Mapping[str, Any], layers: tuple[str, ...]) -> RootFilesystem:
        folder = f"{self._folder}/overlays/{point['Number']}"
        os.makedirs(folder, 0o700)
        return RootFilesystem(folder, self._locations.layers, layers)

    def _make_subpath(self, point: Mapping[str, Any], _root: int) -> None:
        self._bind_within(point, point["Top"])

    def _make_image(self, point: Mapping[str, Any], _root: int) -> None:
        keys = reversed(point["LayerKeys"])
        root = self._overlay_of(point, tuple(f"{image_layers.folder_of(self._locations, key)}/{image_layers.TREE}" for key in keys))
        make_folders(root)
        if point["Writable"]:
            _mount_writable(root, lambda: _mount_image(root))
        else:
            mount_read_only(root)
        self._bind_within(point, root.mount_point)

    def _make_overlay(self, point: Mapping[str, Any], _root: int) -> None:
        lower = point["Lower"]
        if not os.path.isdir(lower):
            raise InvalidInput(f"cannot make an overlay over {lower}: it is no folder", "leave out the option O")
        root = self._overlay_of(point, (lower,))
        make_folders(root)
        _copy_attributes(lower, root.upper)
        if point["Upper"]:
            _mount_overlay(lower, point["Upper"], point["Work"], root.mount_point)
        else:
            _mount_writable(root, lambda: _mount_overlay(lower, root.upper, root.work, root.mount_point))
        self._bind_within({**point, "Path": ""}, root.mount_point)

    def _make_tmpfs(self, point: Mapping[str, Any], root: int) -> None:
        place = self._place(point)
        options = parse_options(point["Options"])
        os.mkdir(place)
        mounts.mount("tmpfs", place, "tmpfs", options.flags, options.data or None)
        if point["CopyUp"]:
            copy_up.copy_up(place, place, root, point["CopyUp"])

    def _bind_within(self, point: Mapping[str, Any], top: str) -> None:
        """Bind what `point` names within the folder `top` to its place."""
        folder = os.open(top, _FOLDER)
        try:
            found = _open_within(folder, point)
            try:
                tree = mounts.clone_tree("", recursive=True, directory=found)
                target = _make_place(self._place(point), is_folder=stat.S_ISDIR(os.fstat(found).st_mode))
                mounts.attach_tree(tree, target, self._place(point))
                os.close(target)
                os.close(tree)
            finally:
                os.close(found)
        finally:
            os.close(folder)


_MAKERS: Final[Mapping[str, Callable[[Staging, Mapping[str, Any], int], None]]] = {
    "subpath": Staging._make_subpath,
    "image": Staging._make_image,
    "overlay": Staging._make_overlay,
    "tmpfs": Staging._make_tmpfs,
}


def discard_overlays(locations: Locations, container_id: str) -> None:
    """Delete what a container wrote to overlays that end with it; it does not run. The caller is single-threaded."""
    from rootless.storage import trash  # with the worker: the stage does not need it

    folder = f"{locations.containers}/{container_id}/overlays"
    trashed = trash.throw_away(locations, folder, f"overlays-{container_id}-{os.getpid()}")
    if trashed is not None:
        trash.delete(locations, trashed)


def check_not_shared(locations: Locations, document: Document) -> None:
    """Raise `InUse` where a volume in memory is mounted by another running container: each would have one of its own."""
    from rootless.containers.store import ContainerStore  # only for such volumes
    from rootless.containers.volume_users import volumes_of

    points = (document["Rl"].get("Staging") or {}).get("Points") or ()
    own = {point["Volume"] for point in points if point["Kind"] == "tmpfs"}
    if not own:
        return
    for other in ContainerStore(locations).list():
        shared = own & set(volumes_of(other)) if other["State"]["Running"] and other["Id"] != document["Id"] else ()
        if shared:
            raise InUse(
                f"volume {min(shared)} is a tmpfs, which container {other['Id'][:12]} has mounted: a user cannot share it",
                "stop that container, or use a volume on disk",
            )


def _open_within(folder: int, point: Mapping[str, Any]) -> int:
    try:
        return open_in_root(folder, point["Path"] or ".", os.O_PATH)
    except OSError as error:
        raise InvalidInput(
            f"cannot mount {point['Path']!r} of {point['What']}: {os.strerror(error.errno or 0)}",
            "it must be there before the container starts, and lead to no place outside",
        ) from None


def _make_place(path: str, *, is_folder: bool) -> int:
    if is_folder:
        os.mkdir(path)
    else:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def _mount_writable(root: RootFilesystem, mount: Callable[[], None]) -> None:
    """Mount an overlay, or where the kernel has none for us, a copy of its layers."""
    try:
        mount()
    except OSError as error:
        if error.errno not in _NO_OVERLAY:
            raise
        vfs.copy_layers(root)
        mounts.mount(root.upper, root.mount_point, None, mounts.MS_BIND)


def _mount_image(root: RootFilesystem) -> None:
    overlay.mount(root)


def _mount_overlay(lower: str, upper: str, work: str, point: str) -> None:
    """Mount an overlay whose folders are named by descriptors: a path may have characters that mean something in the options."""
    folders = []
    try:
        folders += [os.open(path, _FOLDER) for path in (lower, upper, work)]
        names = [f"/proc/self/fd/{descriptor}" for descriptor in folders]
        mounts.mount("overlay", point, "overlay", 0, f"userxattr,lowerdir={names[0]},upperdir={names[1]},workdir={names[2]}")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RlError(
                f"cannot make an overlay over {lower}: what is written would be kept inside of it",
                "mount a folder that does not hold rl's own data",
            ) from None
        raise
    finally:
        for descriptor in folders:
            os.close(descriptor)


def _copy_attributes(source: str, target: str) -> None:
    reading, writing = os.open(source, _FOLDER), os.open(target, _FOLDER)
    try:
        vfs.copy_attributes(reading, writing, os.fstat(reading))
    finally:
        os.close(reading)
        os.close(writing)
