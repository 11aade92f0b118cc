"""A layer of another kind than a directory on disk: a tar archive that is indexed when mounted, and never unpacked.

It shows that `fuse_overlay.layer.Folder` is all that the union needs. Whiteouts are those of OCI layers.
"""

import errno
import os
import stat
import tarfile
from typing import Any, NamedTuple

from fuse_overlay.layer import ITSELF, DirectoryFolder, Opacity, OpenFolders
from fuse_overlay.union import directory_layer
from tests.integration.fuse_overlay.mounted import Mounted

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_XATTR = "SCHILY.xattr."
_KINDS = {
    tarfile.REGTYPE: stat.S_IFREG, tarfile.AREGTYPE: stat.S_IFREG, tarfile.DIRTYPE: stat.S_IFDIR, tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.FIFOTYPE: stat.S_IFIFO, tarfile.CHRTYPE: stat.S_IFCHR, tarfile.BLKTYPE: stat.S_IFBLK,
}  # fmt: skip


class Member(NamedTuple):
    """A file of the archive: `number` is that of the first name of its content, `links` how many names it has."""

    info: tarfile.TarInfo
    number: int
    links: list[str]

    def status(self, device: int) -> os.stat_result:
        """Return the status that the file is shown with."""
        info = self.info
        size = len(info.linkname) if info.issym() else info.size
        seconds = float(info.pax_headers.get("mtime", info.mtime))
        times = int(seconds), int(seconds), int(seconds)
        fields = (_KINDS[info.type] | info.mode, self.number, device, len(self.links), info.uid, info.gid, size, *times)
        precise = dict.fromkeys(("st_atime_ns", "st_mtime_ns", "st_ctime_ns"), round(seconds * 1_000_000_000))
        special = {"st_rdev": os.makedev(info.devmajor, info.devminor), "st_blocks": -(-size // 512), "st_blksize": 4096}
        make: Any = os.stat_result  # whose second argument the type checker does not know
        made: os.stat_result = make(fields, {**precise, **special})
        return made


class Archive:
    """The index of an open archive. `device` tells its files from those of other layers."""

    def __init__(self, descriptor: int, device: int) -> None:
        self.descriptor = descriptor
        self.device = device
        self.members: dict[str, Member] = {}
        self.names: dict[str, list[str]] = {"": []}  # of each folder, without whiteouts
        self.whiteouts: set[str] = set()
        self.opaque: set[str] = set()
        with open(os.dup(descriptor), "rb") as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for number, info in enumerate(archive, 2):
                self._add(number, info)

    def _add(self, number: int, info: tarfile.TarInfo) -> None:
        path = os.path.normpath(info.name)
        path = "" if path == "." else path
        parent, _slash, name = path.rpartition("/")
        if name == _OPAQUE:
            self.opaque.add(parent)
            return
        if name.startswith(_WHITEOUT):
            self.whiteouts.add(os.path.join(parent, name.removeprefix(_WHITEOUT)))
            return
        if info.islnk():
            member = self.members[path] = self.members[os.path.normpath(info.linkname)]
            member.links.append(path)
        else:
            self.members[path] = Member(info, number, [path])
        if info.isdir():
            self.names.setdefault(path, [])
        if path:
            self.names.setdefault(parent, []).append(name)


class MemberContent:
    """An open file of an archive."""

    def __init__(self, descriptor: int, start: int, size: int) -> None:
        self._descriptor = descriptor
        self._start = start
        self._size = size

    def read(self, offset: int, size: int) -> bytes:
        """See `Content.read`."""
        return os.pread(self._descriptor, max(0, min(size, self._size - offset)), self._start + offset)

    def close(self) -> None:
        """See `Content.close`: the archive stays open."""


class ArchiveFolder:
    """See `Folder`."""

    def __init__(self, archive: Archive, path: str) -> None:
        self._archive = archive
        self._path = path

    def _at(self, name: bytes) -> str:
        return self._path if name == ITSELF else os.path.join(self._path, os.fsdecode(name))

    def _member(self, name: bytes) -> Member:
        try:
            return self._archive.members[self._at(name)]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name) from None

    def find(self, name: bytes) -> os.stat_result | None:
        """See `Folder.find`; of a whiteout any status will do."""
        path = self._at(name)
        if path in self._archive.whiteouts:
            return os.stat("/dev/null")
        member = self._archive.members.get(path)
        return None if member is None else member.status(self._archive.device)

    def child(self, name: bytes) -> "ArchiveFolder":
        """See `Folder.child`."""
        return ArchiveFolder(self._archive, self._at(name))

    def names(self) -> list[bytes]:
        """See `Folder.names`."""
        return [os.fsencode(name) for name in self._archive.names[self._path]]

    def opacity(self) -> Opacity:
        """See `Folder.opacity`."""
        return Opacity.OPAQUE if self._path in self._archive.opaque else Opacity.NONE

    def is_whiteout(self, name: bytes, status: os.stat_result) -> bool:
        """See `Folder.is_whiteout`."""
        return self._at(name) in self._archive.whiteouts

    def open(self, name: bytes, flags: int) -> MemberContent:
        """See `Folder.open`."""
        assert not flags & (os.O_WRONLY | os.O_RDWR)
        info = self._member(name).info
        return MemberContent(self._archive.descriptor, info.offset_data, info.size)

    def read_link(self, name: bytes) -> bytes:
        """See `Folder.read_link`."""
        return os.fsencode(self._member(name).info.linkname)

    def list_xattrs(self, name: bytes) -> list[bytes]:
        """See `Folder.list_xattrs`."""
        headers = self._member(name).info.pax_headers
        return [os.fsencode(key.removeprefix(_XATTR)) for key in headers if key.startswith(_XATTR)]

    def get_xattr(self, name: bytes, attribute: bytes) -> bytes:
        """See `Folder.get_xattr`."""
        try:
            return os.fsencode(self._member(name).info.pax_headers[_XATTR + os.fsdecode(attribute)])
        except KeyError:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA)) from None

    def close(self) -> None:
        """See `Folder.close`: nothing is held."""


def open_layer(descriptor: int, open_folders: OpenFolders, flat: bool) -> "ArchiveFolder | DirectoryFolder":
    """Return the root of a layer that is an archive or a directory."""
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return ArchiveFolder(Archive(descriptor, -descriptor), "")  # no device has such a number
    folder = directory_layer(descriptor, open_folders, flat)
    assert isinstance(folder, DirectoryFolder)
    return folder


class MountedArchives(Mounted):
    """A union whose lower layers may be archives. The server is a fork, not executed: it needs this module."""

    def serve(self, control: int) -> None:
        """See `Mounted.serve`."""
        from fuse_overlay.__main__ import main  # it brings pyfuse3, which is the server's alone

        main(control, open_layer)
