"""What differs between two images' file systems (`rl image diff`).

Both stacks of unpacked layers are merged by the rules of the kernel's overlay (overlayfs.rst), as names and attributes only. Layers
that both have at the bottom are read once, for both.
"""

import json
import os
import stat
from typing import NamedTuple

from rootless.images import dotted
from rootless.images.attributes import FLAT, OVERRIDE_STAT
from rootless.images.layers import SIDE_FILE, TREE
from rootless.images.store import Image, layer_folders
from rootless.images.tree import OPAQUE, WHITEOUT
from rootless.images.unpack_image import read_record
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent

CHANGED, ADDED, DELETED = "C", "A", "D"


class Change(NamedTuple):
    """`kind` is C, A or D; `path` is absolute."""

    kind: str
    path: str


class _Entry(NamedTuple):
    """What must be the same of a path: of a folder neither size nor time nor where it is read from."""

    kind: int  # S_IFMT
    attributes: str  # owner, group and mode
    size: int
    mtime: int
    target: str  # of a symbolic link
    capability: bytes


_Files = dict[str, _Entry]


def diff_images(locations: Locations, image: Image, other: Image | None) -> list[Change]:
    """Return what `image` has otherwise than `other`, by default its own layers without the topmost, sorted by path.

    The caller is single-threaded. Raises `CorruptImage`, `OSError`.
    """
    new = layer_folders(locations, image)[::-1]
    old = new[:-1] if other is None else layer_folders(locations, other)[::-1]
    return [Change(kind, path) for kind, path in run_in_parent(locations, _diff, old, new)]


def _diff(old_layers: list[str], new_layers: list[str]) -> list[tuple[str, str]]:
    shared = 0
    for one, another in zip(old_layers, new_layers, strict=False):
        if one != another:
            break
        shared += 1
    both = _merge({}, old_layers[:shared])
    old, new = _merge(dict(both), old_layers[shared:]), _merge(both, new_layers[shared:])
    changes = {path: CHANGED for path in new.keys() & old.keys() if new[path] != old[path]}
    changes.update((path, ADDED) for path in new.keys() - old.keys())
    # Of a folder that is gone the folder alone is told, of a new one also what it holds: as Docker does.
    gone = old.keys() - new.keys()
    changes.update((path, DELETED) for path in gone if os.path.dirname(path) not in gone)
    for path in list(changes):
        parent = os.path.dirname(path)
        while parent != "/" and parent not in changes:
            changes[parent] = CHANGED
            parent = os.path.dirname(parent)
    return sorted(((kind, path) for path, kind in changes.items()), key=lambda change: change[1].split("/"))


def _merge(files: _Files, layer_trees: list[str]) -> _Files:
    """Apply layers, bottom first, to `files`, in place."""
    for tree in layer_trees:
        record = read_record(tree.removesuffix(f"/{TREE}"))
        _Layer(files, tree, flat=record["form"] == FLAT).apply("")
    return files


class _Layer:
    """One layer that is being applied."""

    def __init__(self, files: _Files, tree: str, *, flat: bool) -> None:
        self._files = files
        self._tree = tree
        self._flat = flat
        self._dotted = dotted.is_dotted(tree)
        self._side = _read_side(tree) if self._dotted else {}

    def apply(self, folder: str) -> None:
        """Apply what a folder of the layer holds; folders are visited without recursion, as they may be deep."""
        pending = [folder]
        while pending:
            where = pending.pop()
            with os.scandir(f"{self._tree}{where}") as entries:
                for found in entries:
                    path = f"{where}/{found.name}"
                    if self._apply_one(path, found):
                        pending.append(path)

    def _apply_one(self, path: str, found: "os.DirEntry[str]") -> bool:
        """Apply one entry; returns whether it is a folder."""
        if self._dotted and found.name.startswith(dotted.PREFIX):
            self._apply_mark(path, found)
            return False
        status = found.stat(follow_symlinks=False)
        before = self._files.get(path)
        is_folder = stat.S_ISDIR(status.st_mode)
        if before is not None and (not is_folder or before.kind != stat.S_IFDIR or self._is_opaque(found.path)):
            self._remove(path, before)
        if _is_whiteout(found.path, status):
            return False
        self._files[path] = self._entry(found.path, status)
        return is_folder

    def _apply_mark(self, path: str, found: "os.DirEntry[str]") -> None:
        """Apply a whiteout that is a file, unless there is something in its place."""
        folder, _, mark = path.rpartition("/")
        name = mark.removeprefix(dotted.PREFIX)
        before = self._files.get(f"{folder}/{name}")
        if before is not None and mark != dotted.OPAQUE_MARK and not os.path.lexists(f"{os.path.dirname(found.path)}/{name}"):
            self._remove(f"{folder}/{name}", before)

    def _is_opaque(self, place: str) -> bool:
        return dotted.has_mark(place, dotted.OPAQUE_MARK) if self._dotted else _xattr(place, OPAQUE) == b"y"

    def _remove(self, path: str, before: _Entry) -> None:
        del self._files[path]
        if before.kind == stat.S_IFDIR:
            for below in [one for one in self._files if one.startswith(f"{path}/")]:
                del self._files[below]

    def _entry(self, place: str, status: os.stat_result) -> _Entry:
        kind = stat.S_IFMT(status.st_mode)
        attributes = f"{status.st_uid}:{status.st_gid}:{stat.S_IMODE(status.st_mode):o}"
        if self._flat:
            noted = self._side.get(place.removeprefix(f"{self._tree}/")) or (_xattr(place, OVERRIDE_STAT) or b"").decode()
            attributes = noted or attributes
        if kind == stat.S_IFDIR:
            return _Entry(kind, attributes, 0, 0, "", b"")
        target = os.readlink(place) if kind == stat.S_IFLNK else ""
        capability = b"" if target else _xattr(place, "security.capability") or b""
        return _Entry(kind, attributes, status.st_size, status.st_mtime_ns, target, capability)


def _read_side(tree: str) -> dict[str, str]:
    """Return what is noted beside a flat layer, by path."""
    try:
        with open(f"{os.path.dirname(tree)}/{SIDE_FILE}", "rb") as file:
            return {path: f"{uid}:{gid}:{mode:o}" for path, uid, gid, mode in json.load(file)}
    except FileNotFoundError:
        return {}


def _is_whiteout(place: str, status: os.stat_result) -> bool:
    if stat.S_ISCHR(status.st_mode):
        return status.st_rdev == 0
    return stat.S_ISREG(status.st_mode) and status.st_size == 0 and _xattr(place, WHITEOUT) is not None


def _xattr(place: str, name: str) -> bytes | None:
    try:
        return os.getxattr(place, name, follow_symlinks=False)
    except OSError:  # ENODATA, or EOPNOTSUPP and EPERM of what carries no such xattrs
        return None
