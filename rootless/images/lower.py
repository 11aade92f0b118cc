"""What the layers below say of folders that a layer's tar leaves out: such a folder must keep the lower one's attributes."""

import os
import stat
from typing import Final, NamedTuple

from rootless.images import mtree
from rootless.images.attributes import FLAT, OVERRIDE_STAT
from rootless.images.mtree import OnDisk, RecordWriter, checksum_of_xattrs
from rootless.images.tree import OPAQUE

_OVERLAY: Final = "user.overlay."


class FolderAttributes(NamedTuple):
    """Mode, owner and xattrs of a lower folder."""

    mode: int
    uid: int
    gid: int
    mtime: int
    xattrs: tuple[tuple[str, bytes], ...]


def differing(implied: list[str], below: list[str]) -> dict[str, FolderAttributes]:
    """Return those of the folders `implied` that the layers `below` (trees, topmost first) have with other than default attributes.

    The default is root's, 0755, no xattrs; in flat layers the xattr says so.
    """
    found = {path: attributes for path in implied if (attributes := _look_up(path, below)) is not None}
    return {path: attributes for path, attributes in found.items() if not _is_default(attributes)}


def apply(tree: str, changes: dict[str, FolderAttributes], form: str, record: RecordWriter) -> None:
    """Set the attributes of folders of a freshly unpacked tree, the deepest first, and note them in its record."""
    for path in sorted(changes, key=len, reverse=True):
        attributes = changes[path]
        descriptor = os.open(os.path.join(tree, path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if form != FLAT:
                os.fchown(descriptor, attributes.uid, attributes.gid)
            os.fchmod(descriptor, attributes.mode)
            for name, value in attributes.xattrs:
                os.setxattr(descriptor, name, value)
            os.utime(descriptor, ns=(attributes.mtime, attributes.mtime))
            owner = (attributes.uid, attributes.gid) if form != FLAT else (0, 0)
            on_disk = OnDisk(attributes.mode, *owner, attributes.mtime, checksum_of_xattrs(descriptor))
            record.add(os.fsencode(path), mtree.FOLDER, on_disk)
        finally:
            os.close(descriptor)


def _look_up(path: str, below: list[str]) -> FolderAttributes | None:
    """Return the attributes of the topmost lower folder at `path` that the layers above it do not hide."""
    for tree in below:
        place = tree
        hides = False
        for name in ["", *path.split("/")] if path else [""]:
            place = os.path.join(place, name) if name else place
            try:
                status = os.lstat(place)
            except FileNotFoundError:
                break
            if not stat.S_ISDIR(status.st_mode):  # a whiteout, or a file in the folder's place
                return None
            hides = _is_opaque(place)
        else:
            return _read(place, status)
        if hides:
            return None
    return None


def _is_opaque(folder: str) -> bool:
    return OPAQUE in os.listxattr(folder, follow_symlinks=False) and os.getxattr(folder, OPAQUE) == b"y"


def _read(folder: str, status: os.stat_result) -> FolderAttributes:
    names = [name for name in os.listxattr(folder) if not name.startswith(_OVERLAY)]
    xattrs = tuple((name, os.getxattr(folder, name)) for name in names)
    return FolderAttributes(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, xattrs)


def _is_default(attributes: FolderAttributes) -> bool:
    others = [(name, value) for name, value in attributes.xattrs if (name, value) != (OVERRIDE_STAT, b"0:0:0755:dir")]
    return (attributes.mode, attributes.uid, attributes.gid) == (0o755, 0, 0) and not others
