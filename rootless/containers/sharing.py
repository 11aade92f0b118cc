"""Namespaces that a container shares with others: found anew at each start, and held by descriptor from then on.

Theory of operation. The kernel gives power over a namespace to the user namespace that owns it, and to those above. Containers'
user namespaces are siblings below the parent namespace P, so a container with one of its own that joined another's network could
not bind port 80 there, ping, or mount /sys; with another's PID namespace it could not mount /proc or signal other users' processes.
So (as in a pod of Podman's) a container that joins another's PID, network, IPC or UTS namespace shares its user namespace, too, and
has there the capabilities of its own bounding set. It has a user namespace of its own nevertheless

* with `--userns private`,
* where it joins namespaces of several containers, which have different user namespaces,
* where the other runs in P itself (`--userns host`): power over all containers must be asked for.

Then the stage still joins, as root of P, before the container's user namespace is made; and what the container's root could not
mount is copied from the container that can, detached (`borrowing`): /proc, /sys, /dev/mqueue. /dev/shm belongs to the IPC
namespace by custom only, is a tmpfs of the other container, and is always copied. The copies are put below the container's
folder in the stage's mount namespace, and bound from there as any other mount.

With `--userns host` the container runs in P: it has no user namespace of its own, and power over those of all other containers
within its bounding set.

When the other container ends, the joined namespaces live on as long as a process is in them; but for a PID namespace, which ends
with its first process, and takes the container along. Its network is then a namespace without a stack behind it.
A namespace of the other that is the node's is the node's here, too, and not joined.
"""

import contextlib
import os
from collections.abc import Mapping
from typing import Final, NamedTuple

from rootless.containers.documents import Document
from rootless.containers.lifecycle import refuse_foreign
from rootless.containers.namespace_modes import OF_CONTAINER
from rootless.containers.store import ContainerStore
from rootless.errors import InUse
from rootless.linux import mounts, namespaces
from rootless.linux.process import ProcessId, open_pidfd, pid_of
from rootless.runtime.sharing import Sharing

# OCI name -> (key of HostConfig, Docker's word for it in errors).
_MODES: Final = {
    "pid": ("PidMode", "PID"),
    "ipc": ("IpcMode", "IPC"),
    "uts": ("UTSMode", "UTS"),
    "network": ("NetworkMode", "network"),
    "user": ("UsernsMode", "USER"),
    "cgroup": ("CgroupnsMode", "CGROUP"),
}
_SHM: Final = "/dev/shm"  # noqa: S108 - a mount of containers
# What shows a namespace, and can be mounted by the owner of that only.
_VIEWS: Final = {"pid": "/proc", "network": "/sys", "ipc": "/dev/mqueue"}
_FOLDER: Final = "shared"


class Shared(NamedTuple):
    """What one start of a container shares; `close` it when the stages have ended."""

    sharing: Sharing = Sharing()
    shown: Sharing = Sharing()  # the same by names that mean something to others
    descriptors: tuple[int, ...] = ()  # which the stages need
    trees: tuple[tuple[int, str], ...] = ()  # a copied mount, and the folder where the stage puts it
    parent: int | None = None  # the parent namespace P, as found from another container

    @property
    def makes_user_namespace(self) -> bool:
        """Whether the container has one of its own."""
        return "user" not in self.sharing.of_node and "user" not in self.sharing.paths

    def put_trees(self) -> None:
        """Put the copied mounts into the stage's mount namespace, whose root it is."""
        for tree, folder in self.trees:
            target = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            mounts.attach_tree(tree, target, folder)
            os.close(target)

    def close(self) -> None:
        """Close the descriptors: what was joined is held by the container's processes now."""
        for descriptor in self.descriptors:
            os.close(descriptor)


def open_shared(store: ContainerStore, document: Document) -> Shared:
    """Return what a container that is being started shares. Raises `NoSuchObject` and `InUse` for what cannot be joined."""
    host_config = document["HostConfig"]
    modes = {name: str(host_config.get(key) or "") for name, (key, _word) in _MODES.items()}
    of_node = frozenset(name for name, mode in modes.items() if mode == "host")
    left_out = frozenset({_SHM}) if modes["ipc"] == "none" else frozenset[str]()
    targets = {name: mode.removeprefix(OF_CONTAINER) for name, mode in modes.items() if mode.startswith(OF_CONTAINER)}
    if not targets:
        sharing = Sharing(of_node, left_out=left_out)
        return Shared(sharing, sharing)
    with contextlib.ExitStack() as stack:
        shared = _Joining(stack, store, store.folder(document["Id"])).join(targets, modes["user"], of_node)
        stack.pop_all()  # all went well: the descriptors stay open
    return shared


class _Joining:
    """Descriptors on their way to a `Shared`; `stack` closes them when something fails."""

    def __init__(self, stack: contextlib.ExitStack, store: ContainerStore, folder: str) -> None:
        self._stack = stack
        self._store = store
        self._folder = folder
        self._pidfds: dict[str, int] = {}
        self._pids: dict[str, int] = {}
        self._kept: list[int] = []

    def join(self, targets: Mapping[str, str], user_mode: str, of_node: frozenset[str]) -> Shared:
        opened: dict[str, int] = {}
        for name, target in targets.items():
            namespace = self._open(name, target, name)
            if namespaces.are_same(namespace, f"/proc/self/ns/{_proc_name(name)}"):
                of_node |= {name}
            else:
                opened[name] = namespace
        if user_mode == "":
            user = self._user_to_share({targets[name] for name in opened})
            if user is not None:
                opened["user"] = user
        copied = self._copy_mounts(opened, targets, has_all_power="user" in of_node)
        own = Sharing(
            of_node,
            {name: f"/proc/self/fd/{descriptor}" for name, descriptor in opened.items()},
            {view: path for view, _tree, path in copied},
        )
        some_target = next(iter(targets.values()))
        shown = {name: f"/proc/{self._pids[targets.get(name, some_target)]}/ns/{_proc_name(name)}" for name in opened}
        self._kept += [tree for _view, tree, _path in copied]
        trees = tuple((tree, path) for _view, tree, path in copied)
        parent = self._parent_of(some_target)
        return Shared(own, own._replace(paths=shown), tuple(self._kept), trees, parent)

    def _open(self, name: str, target: str, wanted_for: str) -> int:
        """Return a descriptor of a namespace of a container."""
        pidfd = self._pidfd(target, wanted_for)
        try:
            namespace = namespaces.open_namespace(self._pids[target], namespaces.OCI_NAMES[name])
            self._keep(namespace)
            pid_of(pidfd)  # it still lives: what was opened was its own
        except (FileNotFoundError, ProcessLookupError):
            raise _not_running(target, wanted_for) from None
        except PermissionError:
            raise InUse(f"container {target[:12]} is just starting", "try again when it runs") from None
        return namespace

    def _pidfd(self, target: str, name: str) -> int:
        if target not in self._pidfds:
            document = self._store.find(target)
            entry = document["Rl"]["Entry"]
            refuse_foreign(document)
            pidfd = open_pidfd(ProcessId(*entry)) if document["State"]["Running"] and entry is not None else None
            if pidfd is None or entry is None:
                raise _not_running(target, name)
            self._keep(pidfd)
            self._pidfds[target], self._pids[target] = pidfd, entry[0]
        if name == "ipc":
            self._check_shareable(target)
        return self._pidfds[target]

    def _check_shareable(self, target: str) -> None:
        mode = str(self._store.find(target)["HostConfig"].get("IpcMode") or "private")
        if mode in ("private", "none"):
            raise InUse(
                f"can't join IPC of container {target}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
                "make that container with --ipc shareable",
            )

    def _user_to_share(self, targets: set[str]) -> int | None:
        """Return the one user namespace of all targets; None where they have several, or it is the parent namespace."""
        found: dict[int, int] = {}
        for target in targets:
            user = self._open("user", target, "user")
            found[os.fstat(user).st_ino] = user
        if len(found) != 1:
            return None
        (user,) = found.values()
        return None if _is_parent(user) else user

    def _parent_of(self, target: str) -> int:
        """Return a descriptor of the parent namespace that a container lives below, or in."""
        user = self._open("user", target, "user")
        if _is_parent(user):
            return user
        parent = namespaces.parent_of(user)
        self._keep(parent)
        return parent

    def _copy_mounts(
        self, opened: Mapping[str, int], targets: Mapping[str, str], *, has_all_power: bool
    ) -> list[tuple[str, int, str]]:
        """Return what has to be copied from others: destination, mount, and the folder where it will be."""
        user = opened.get("user")
        has_all_power = has_all_power or (user is not None and _is_parent(user))
        views: dict[str, list[str]] = {}
        for name, view in _VIEWS.items():
            if name in opened and not has_all_power and (user is None or not _owns(user, opened[name])):
                views.setdefault(targets[name], []).append(view)
        if "ipc" in opened:
            views.setdefault(targets["ipc"], []).append(_SHM)
        copied = []
        for target, wanted in views.items():
            foreign = self._is_in_other_user_namespace(target)
            from rootless.runtime.borrowing import borrow_mounts  # few containers share

            for view, tree in zip(wanted, borrow_mounts(self._pidfds[target], wanted, enters_user_namespace=foreign), strict=True):
                self._stack.callback(os.close, tree)
                path = f"{self._folder}/{_FOLDER}{view}"
                os.makedirs(path, 0o700, exist_ok=True)
                copied.append((view, tree, path))
        return copied

    def _is_in_other_user_namespace(self, target: str) -> bool:
        return not namespaces.are_same(self._open("user", target, "user"), "/proc/self/ns/user")

    def _keep(self, descriptor: int) -> None:
        self._stack.callback(os.close, descriptor)
        self._kept.append(descriptor)


def _proc_name(name: str) -> str:
    return namespaces.PROC_NAMES[namespaces.OCI_NAMES[name]]


def _is_parent(user_namespace: int) -> bool:
    """Tell whether that is the parent namespace P: a child of our own, where containers' are children of P."""
    above = namespaces.parent_of(user_namespace)
    try:
        return namespaces.are_same(above, "/proc/self/ns/user")
    finally:
        os.close(above)


def _owns(user_namespace: int, namespace: int) -> bool:
    owner = namespaces.owning_user_namespace(namespace)
    try:
        return os.fstat(owner).st_ino == os.fstat(user_namespace).st_ino
    finally:
        os.close(owner)


def _not_running(target: str, name: str) -> InUse:
    return InUse(f"cannot join {_MODES[name][1]} of a non running container: {target}", f"start it first: rl start {target[:12]}")
