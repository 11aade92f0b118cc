"""What the layers below say of folders that a layer's tar leaves out: such a folder must keep the lower one's attributes."""

import errno
import json
import os
import stat
from typing import Final, NamedTuple

from rootless.images import mtree
from rootless.images.attributes import FLAT, OVERRIDE_STAT
from rootless.images.dotted import OPAQUE_MARK, PREFIX, has_mark, is_dotted
from rootless.images.layers import SIDE_FILE
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


def apply(tree: str, changes: dict[str, FolderAttributes], form: str, record: RecordWriter) -> list[list[str | int]]:
    """Set the attributes of folders of a freshly unpacked tree, the deepest first, and note them in its record.

    Returns what the disk cannot carry, for the side file.
    """
    side: list[list[str | int]] = []
    for path in sorted(changes, key=len, reverse=True):
        attributes = changes[path]
        descriptor = os.open(os.path.join(tree, path), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if form != FLAT:
                os.fchown(descriptor, attributes.uid, attributes.gid)
            os.fchmod(descriptor, attributes.mode)
            for name, value in attributes.xattrs:
                if name == OVERRIDE_STAT and is_dotted(descriptor):
                    uid, gid, mode, _kind = value.split(b":")
                    side.append([path, int(uid), int(gid), int(mode, 8)])
                else:
                    os.setxattr(descriptor, name, value)
            os.utime(descriptor, ns=(attributes.mtime, attributes.mtime))
            owner = (attributes.uid, attributes.gid) if form != FLAT else (0, 0)
            on_disk = OnDisk(attributes.mode, *owner, attributes.mtime, checksum_of_xattrs(descriptor))
            record.add(os.fsencode(path), mtree.FOLDER, on_disk)
        finally:
            os.close(descriptor)
    return side


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
                if has_mark(os.path.dirname(place), f"{PREFIX}{name}"):
                    return None
                break
            if not stat.S_ISDIR(status.st_mode):  # a whiteout, or a file in the folder's place
                return None
            hides = _is_opaque(place)
        else:
            return _read(tree, path, status)
        if hides:
            return None
    return None


def _is_opaque(folder: str) -> bool:
    try:
        return OPAQUE in os.listxattr(folder, follow_symlinks=False) and os.getxattr(folder, OPAQUE) == b"y"
    except OSError as error:
        if error.errno == errno.EOPNOTSUPP:
            return has_mark(folder, OPAQUE_MARK)
        raise


def _read(tree: str, path: str, status: os.stat_result) -> FolderAttributes:
    folder = os.path.join(tree, path)
    if is_dotted(folder):
        noted = _noted_beside(tree, path)
        own = () if noted is None else ((OVERRIDE_STAT, noted),)
        return FolderAttributes(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, own)
    names = [name for name in os.listxattr(folder) if not name.startswith(_OVERLAY)]
    xattrs = tuple((name, os.getxattr(folder, name)) for name in names)
    return FolderAttributes(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns, xattrs)


def _noted_beside(tree: str, path: str) -> bytes | None:
    """Return what the side file of a layer says of a folder, as the xattr would."""
    try:
        with open(f"{os.path.dirname(tree)}/{SIDE_FILE}", "rb") as file:
            lines = json.load(file)
    except FileNotFoundError:
        return None
    return next((f"{uid}:{gid}:{mode:04o}:dir".encode() for noted, uid, gid, mode in lines if noted == path), None)


def _is_default(attributes: FolderAttributes) -> bool:
    others = [(name, value) for name, value in attributes.xattrs if (name, value) != (OVERRIDE_STAT, b"0:0:0755:dir")]
    return (attributes.mode, attributes.uid, attributes.gid) == (0o755, 0, 0) and not others
