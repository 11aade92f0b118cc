"""Walking the union of a stack of layers as the kernel's overlay shows it, without a mount (kernel doc filesystems/overlayfs.rst).

Needs neither overlayfs nor FUSE, has no limit of layers, and reads both forms of layers. Runs in the parent namespace. A folder is
opened by its path below its layer's root, from which nothing leads out (openat2(2)), as a running container may move things about;
its files are reached through that descriptor. What vanishes meanwhile is left out.
"""

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from rootless.images import dotted
from rootless.images.attributes import FLAT, OVERRIDE_STAT
from rootless.images.layers import RECORD, SIDE_FILE
from rootless.images.tree import OPAQUE, WHITEOUT
from rootless.linux.openat2 import open_in_root

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
UPPER_NOTES: Final = "override_stat"  # beside a flat upper
_MARK: Final = os.fsencode(dotted.PREFIX)
_OPAQUE_MARK: Final = os.fsencode(dotted.OPAQUE_MARK)
_make_status: Any = os.stat_result
_WHITEOUT: Final[os.stat_result] = _make_status((stat.S_IFCHR, *(0,) * 9), {"st_rdev": 0})
_NO_OWNER: Final = 0xFFFFFFFF  # chown(2): "leave it"
_VANISHED: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Attributes(NamedTuple):
    """Owner, group and mode as the container sees them."""

    uid: int
    gid: int
    mode: int


class Node(NamedTuple):
    """One file of the union: its path (the root's is empty), its name in the open folder `folder`, its status on disk there.

    `layer` is the number of its layer, topmost first: with the inode number it tells hard links. `folder` is closed when the walk
    goes on.
    """

    path: bytes
    name: bytes
    folder: int
    status: os.stat_result
    layer: int


class Subfolder(NamedTuple):
    """A folder, and the layers that have it, topmost first; more may have been hidden by something that is no folder."""

    node: Node
    layers: list[int]


class MergedTree:
    """The union of folders, topmost first, each a layer's tree or a container's upper. To be used as a context manager."""

    def __init__(self, trees: list[str]) -> None:
        self._side = [_side_file(tree) for tree in trees]
        self._of_inodes = [_upper_notes(tree) for tree in trees]
        self._noted = [notes is not None or counts for notes, counts in zip(self._of_inodes, _take_notes(trees), strict=True)]
        self._roots = [os.open(tree, _FOLDER) for tree in trees]

    def __enter__(self) -> "MergedTree":
        return self

    def __exit__(self, *_: object) -> None:
        for root in self._roots:
            os.close(root)

    @property
    def depth(self) -> int:
        """How many folders are merged."""
        return len(self._roots)

    def walk(self) -> Iterator[Node]:
        """Yield all files, each folder before what it holds, the names in each sorted by bytes."""
        status = os.fstat(self._roots[0])
        yield Node(b"", b".", self._roots[0], status, 0)
        pending: list[tuple[bytes, list[int]]] = [(b"", list(range(len(self._roots))))]
        while pending:
            path, layers = pending.pop()
            with contextlib.ExitStack() as stack:
                files, subfolders = self.entries(path, layers, stack)
                yield from sorted([*files, *(one.node for one in subfolders)])
            pending += [(one.node.path, one.layers) for one in sorted(subfolders, reverse=True)]

    def attributes(self, node: Node, xattrs: dict[str, bytes]) -> Attributes:
        """Return a node's attributes: those on disk, or in the flat form what is noted beside them."""
        noted = xattrs.get(OVERRIDE_STAT)
        if noted is not None and self._noted[node.layer]:
            with contextlib.suppress(ValueError):  # a process in a container may set it to anything: then it says nothing
                return _parse(noted)
        beside = self._side[node.layer].get(node.path) or (self._of_inodes[node.layer] or {}).get(node.status.st_ino)
        return beside or Attributes(node.status.st_uid, node.status.st_gid, stat.S_IMODE(node.status.st_mode))

    def entries(self, path: bytes, layers: list[int], stack: contextlib.ExitStack) -> tuple[list[Node], list[Subfolder]]:
        """Return what a folder holds that `layers` have; the descriptors that the nodes have are closed with `stack`."""
        files: list[Node] = []
        subfolders: dict[bytes, Subfolder] = {}
        hidden: set[bytes] = set()  # by a whiteout, or by a file, of this layer or one above
        for layer in layers:
            folder = self.open_folder(layer, path)
            if folder is None:
                continue
            stack.callback(os.close, folder)
            mark = opaque_mark(folder)
            for name, status in entries_of(folder):
                if name in hidden:
                    continue
                if stat.S_ISDIR(status.st_mode):
                    node = Node(path + b"/" + name if path else name, name, folder, status, layer)
                    subfolders.setdefault(name, Subfolder(node, [])).layers.append(layer)
                    continue
                hidden.add(name)
                if name not in subfolders and not is_whiteout(folder, name, status, marked=mark == b"x"):
                    files.append(Node(path + b"/" + name if path else name, name, folder, status, layer))
            if mark == b"y":
                break
        return files, list(subfolders.values())

    def open_folder(self, layer: int, path: bytes) -> int | None:
        """Return a descriptor of a folder of one layer, or None where that layer has none there; the caller closes it."""
        try:
            return open_in_root(self._roots[layer], path or b".", _FOLDER)
        except OSError as error:
            if error.errno in _VANISHED:
                return None
            raise


def _take_notes(trees: list[str]) -> list[bool]:
    """Tell of each tree whether what the xattr says counts: in flat layers, and in an upper whose files were copied up from such.

    Elsewhere any user of a container could say of a file of its own that it is root's, and has the set-user-ID bit.
    """
    forms = [_form_of(tree) for tree in trees]
    return [form == FLAT or (form is None and FLAT in forms) for form in forms]


def _form_of(tree: str) -> str | None:
    """Return the form of a layer; None for an upper, which has no record as layers have."""
    try:
        with open(f"{os.path.dirname(tree)}/{RECORD}", "rb") as file:
            return str(json.load(file)["form"])
    except FileNotFoundError:
        return None


def _parse(text: bytes) -> Attributes:
    """Return what a note says. Raises `ValueError`."""
    uid, gid, mode, *_ = text.split(b":")
    return Attributes(_owner(uid), _owner(gid), stat.S_IMODE(int(mode, 8)))


def _owner(text: bytes) -> int:
    if not 0 <= int(text) < _NO_OWNER:
        raise ValueError(text)
    return int(text)


def xattrs_of(descriptor: int) -> dict[str, bytes]:
    """Return the extended attributes of an open file, but for those of the union itself."""
    found = {}
    try:
        names = os.listxattr(descriptor)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:  # a disk that has none
            return {}
        raise
    for name in names:
        if not name.startswith("user.overlay."):
            value = _xattr(descriptor, name)
            if value is not None:
                found[name] = value
    return found


def entries_of(folder: int) -> list[tuple[bytes, os.stat_result]]:
    """Return the names in an open folder, with what is there; of whiteouts that are files, what they hide as a device 0:0."""
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # a running container has removed it
                found.append((os.fsencode(entry.name), entry.stat(follow_symlinks=False)))
    if any(name.startswith(_MARK) for name, _status in found) and dotted.is_dotted(folder):
        return _with_whiteouts(found)
    return found


def _with_whiteouts(found: list[tuple[bytes, os.stat_result]]) -> list[tuple[bytes, os.stat_result]]:
    shown = [(name, status) for name, status in found if not name.startswith(_MARK)]
    there = {name for name, _status in shown}
    marks = {name.removeprefix(_MARK) for name, _status in found if name.startswith(_MARK)} - {_OPAQUE_MARK.removeprefix(_MARK)}
    return [*shown, *((name, _WHITEOUT) for name in sorted(marks - there))]


def is_whiteout(folder: int, name: bytes, status: os.stat_result, *, marked: bool) -> bool:
    """Tell whether a file is a whiteout: a device 0:0, or an empty file with an xattr in a folder marked for it."""
    if stat.S_ISCHR(status.st_mode):
        return status.st_rdev == 0
    if not marked or status.st_size or not stat.S_ISREG(status.st_mode):
        return False
    path = b"/proc/self/fd/%d/%b" % (folder, name)
    try:
        return WHITEOUT in os.listxattr(path, follow_symlinks=False)
    except FileNotFoundError:  # a running container has removed it
        return True


def opaque_mark(folder: int) -> bytes | None:
    """Return the mark of a folder that hides the lower ones (y), or may hold whiteouts in the form of an xattr (x)."""
    try:
        return os.getxattr(folder, OPAQUE)
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return b"y" if dotted.has_mark(folder, dotted.OPAQUE_MARK) else None
        if error.errno == errno.ENODATA:
            return None
        raise


def _xattr(descriptor: int, name: str) -> bytes | None:
    try:
        return os.getxattr(descriptor, name)
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.EOPNOTSUPP}:  # not set, or a file system without xattrs
            return None
        raise


def _side_file(tree: str) -> dict[bytes, Attributes]:
    """Read what a flat layer notes of files that carry no xattr; a native layer and an upper have no such file."""
    try:
        with open(f"{os.path.dirname(tree)}/{SIDE_FILE}", "rb") as file:
            noted = json.load(file)
    except FileNotFoundError:
        return {}
    return {path.encode(errors="surrogateescape"): Attributes(uid, gid, mode) for path, uid, gid, mode in noted}


def _upper_notes(tree: str) -> dict[int, Attributes] | None:
    """Return what is noted of files of a flat upper that carry no xattr, by inode; None for any other tree.

    The log is that of `fuse_overlay.side_files`: its first line names the inode of the upper that it is of.
    """
    try:
        with open(f"{os.path.dirname(tree)}/{UPPER_NOTES}", "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return None
    head, *lines = content[: content.rfind(b"\n") + 1].splitlines() or [b""]
    found: dict[int, Attributes] = {}
    if head != b"upper %d" % os.stat(tree).st_ino:
        return found
    for line in lines:
        number, _, text = line.partition(b" ")
        with contextlib.suppress(ValueError):  # somebody has edited it
            found.pop(int(number), None)
            if text:
                found[int(number)] = _parse(text)
    return found
