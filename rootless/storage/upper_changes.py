"""What a container changed: its upper against the layers below, as `rl diff` lists it and `rl commit` makes a layer of it.

The upper has the kernel overlay's form (kernel doc filesystems/overlayfs.rst): what is there was added or changed, a whiteout
stands for what was deleted, and an opaque folder for one that was replaced. Only folders that the upper has are read below. The
driver vfs has a whole copy in the upper: there each file is compared with the layers' own, and what is missing was deleted.
Runs in the parent namespace. What vanishes meanwhile is left out.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Final, NamedTuple

from rootless.images.attributes import OVERRIDE_STAT
from rootless.storage.merged_tree import MergedTree, Node, entries_of, is_whiteout, opaque_mark, xattrs_of

ADDED: Final = "A"
CHANGED: Final = "C"
DELETED: Final = "D"
ENTERED: Final = ""
"""A folder that is as it was, but may hold changes."""

_UPPER: Final = 0
# What the engine makes to mount upon, where the image lacks it.
_MOUNT_POINTS: Final = frozenset({b"dev", b"proc", b"sys", b"etc/hostname", b"etc/hosts", b"etc/resolv.conf"})
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Change(NamedTuple):
    """One path, relative and of bytes. `node` is what the upper has there (None: deleted), valid until the walk goes on.

    `replaces`: a folder that hides the lower one of its name.
    """

    kind: str
    path: bytes
    node: Node | None = None
    replaces: bool = False


class _Lower(NamedTuple):
    """What the layers show under one name: the node, and for a folder the layers whose folders merge to it, topmost first."""

    node: Node
    layers: list[int]


class _Subfolder(NamedTuple):
    """A folder of the upper to come, and the layers that it merges with."""

    path: bytes
    lowers: list[int]


class Changes:
    """Walks the changes of the topmost layer of `tree`; `whole_copy`: that is no difference, but holds everything."""

    def __init__(self, tree: MergedTree, *, whole_copy: bool) -> None:
        self._tree = tree
        self._whole_copy = whole_copy

    def walk(self) -> Iterator[Change]:
        """Yield the changes, each folder before what it holds, the names in each sorted by bytes; and the folders on the way."""
        pending = [_Subfolder(b"", list(range(1, self._tree.depth)))]
        while pending:
            folder = pending.pop()
            subfolders: list[_Subfolder] = []
            yield from self._folder(folder, subfolders)
            pending += reversed(subfolders)

    def _folder(self, folder: _Subfolder, subfolders: list[_Subfolder]) -> Iterator[Change]:
        """Yield the changes right in a folder of the upper, and note those folders that are to be walked."""
        upper = self._tree.open_folder(_UPPER, folder.path)
        if upper is None:
            return
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, upper)
            marked = opaque_mark(upper) == b"x"
            found = dict(entries_of(upper))
            below = self._below(folder, stack)
            gone = below.keys() - found.keys() if self._whole_copy else set()
            for name in sorted([*found, *gone]):
                path = _join(folder.path, name)
                lower = below.get(name)
                if name not in found or is_whiteout(upper, name, found[name], marked=marked):
                    if lower is not None:
                        yield Change(DELETED, path)
                    continue
                change = self._compare(Node(path, name, upper, found[name], _UPPER), lower)
                if change is None:
                    continue
                yield change
                if stat.S_ISDIR(found[name].st_mode):
                    subfolders.append(_Subfolder(path, [] if lower is None or change.replaces else lower.layers))

    def _compare(self, node: Node, lower: _Lower | None) -> Change | None:
        """Return what became of one file of the upper; None where it is as it was, or was made by the engine."""
        is_folder = stat.S_ISDIR(node.status.st_mode)
        if lower is None:
            return None if node.path in _MOUNT_POINTS and _is_empty(node) else Change(ADDED, node.path, node)
        if is_folder and (not lower.layers or self._is_opaque(node)):
            return Change(CHANGED, node.path, node, replaces=True)
        if (is_folder or self._whole_copy) and self._is_same(node, lower.node):
            return Change(ENTERED, node.path, node) if is_folder else None
        return Change(CHANGED, node.path, node)

    def _below(self, folder: _Subfolder, stack: contextlib.ExitStack) -> dict[bytes, _Lower]:
        """Return what the layers show in a folder; the descriptors that the nodes have are closed with `stack`."""
        found: dict[bytes, _Lower] = {}
        hidden: set[bytes] = set()
        for layer in folder.lowers:
            descriptor = self._tree.open_folder(layer, folder.path)
            if descriptor is None:
                continue
            stack.callback(os.close, descriptor)
            mark = opaque_mark(descriptor)
            for name, status in entries_of(descriptor):
                if name in hidden:
                    continue
                node = Node(_join(folder.path, name), name, descriptor, status, layer)
                if stat.S_ISDIR(status.st_mode):
                    found.setdefault(name, _Lower(node, [])).layers.append(layer)
                    continue
                hidden.add(name)
                if name not in found and not is_whiteout(descriptor, name, status, marked=mark == b"x"):
                    found[name] = _Lower(node, [])
            if mark == b"y":
                break
        return found

    def _is_opaque(self, node: Node) -> bool:
        folder = self._tree.open_folder(_UPPER, node.path)
        if folder is None:
            return False
        try:
            return opaque_mark(folder) == b"y"
        finally:
            os.close(folder)

    def _is_same(self, node: Node, lower: Node) -> bool:
        """Tell whether a file of the upper is as it was; of a folder only owner, mode and xattrs count."""
        status, before = node.status, lower.status
        if stat.S_IFMT(status.st_mode) != stat.S_IFMT(before.st_mode):
            return False
        if not stat.S_ISDIR(status.st_mode) and (status.st_size, status.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            return False
        xattrs, xattrs_before = _xattrs(node), _xattrs(lower)
        if self._tree.attributes(node, xattrs) != self._tree.attributes(lower, xattrs_before):
            return False
        for notes in (xattrs, xattrs_before):
            notes.pop(OVERRIDE_STAT, None)  # of one form or the other: compared by what they say
        return xattrs == xattrs_before


def _join(folder: bytes, name: bytes) -> bytes:
    return folder + b"/" + name if folder else name


def _is_empty(node: Node) -> bool:
    if not stat.S_ISDIR(node.status.st_mode):
        return node.status.st_size == 0
    try:
        folder = os.open(node.name, _OPEN | os.O_DIRECTORY, dir_fd=node.folder)
    except FileNotFoundError:
        return True
    try:
        return not os.listdir(folder)
    finally:
        os.close(folder)


def _xattrs(node: Node) -> dict[str, bytes]:
    if not (stat.S_ISDIR(node.status.st_mode) or stat.S_ISREG(node.status.st_mode)):
        return {}
    try:
        descriptor = os.open(node.name, _OPEN, dir_fd=node.folder)
    except FileNotFoundError:
        return {}
    try:
        return xattrs_of(descriptor)
    finally:
        os.close(descriptor)
