"""Unpacking one layer into an empty folder: what each member of the tar means (image-spec layer.md).

Runs in the parent namespace as its root (`rootless.namespaces.worker`). Nothing outside of the folder can be reached:
see `tree`.
"""

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from rootless.errors import CorruptImage
from rootless.images import mtree, tar
from rootless.images.attributes import Attributes
from rootless.images.compression import Limits
from rootless.images.mtree import RecordWriter, crc32
from rootless.images.tree import Tree, normalised, shown

_WHITEOUT_PREFIX: Final = b".wh."
_OPAQUE_MARK: Final = b".wh..wh..opq"
_AUFS_PREFIX: Final = b".wh..wh."  # AUFS's own files, which layers of old Docker versions hold
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ROOT: Final = tar.Member(b"./", tar.DIRECTORY, 0o755, 0, 0, 0, 0, b"", (0, 0), {}, None)
_MAX_NAMED: Final = 20  # skipped devices that the record names


class Unpacked(NamedTuple):
    """What came out: bytes of all regular files, number of members, folders without a member, devices left out (some by name)."""

    size: int
    members: int
    implied: list[bytes]
    devices: int
    device_names: list[str]


def unpack(
    blocks: Iterable[bytes], root: int, attributes: Attributes, limits: Limits, record: RecordWriter | None = None
) -> Unpacked:
    """Unpack a tar's blocks into the empty folder `root` (a descriptor). Raises `CorruptImage` naming the member, or `OSError`.

    All blocks are consumed, also those behind the tar's end, as the diff ID covers them. `record` is told of every file. Sets the
    process's umask to 0.
    """
    reader = tar.TarReader(blocks)
    noted = record or RecordWriter()
    writer = _Writer(reader, Tree(root, noted), attributes, noted)
    os.umask(0)
    member = None
    try:
        for count, member in enumerate(reader, 1):
            _check_count(count, limits)
            _write_member(writer, member)
        return writer.finish()
    except CorruptImage as error:
        if member is None or repr(shown(member.name)) in error.message:
            raise
        raise CorruptImage(f"{error.message} (at or behind {shown(member.name)!r})", error.hint) from error
    finally:
        writer.tree.close()


class _Writer:
    """Makes the members' files one by one."""

    def __init__(self, reader: tar.TarReader, tree: Tree, attributes: Attributes, record: RecordWriter) -> None:
        self.tree = tree
        self._record = record
        self._reader = reader
        self._attributes = attributes
        self._folders: dict[bytes, tar.Member] = {}  # their attributes are set at the end
        self._size = 0
        self._members = 0
        self._devices = 0
        self._device_names: list[str] = []
        self._makers = {
            tar.REGULAR: self._regular,
            tar.HARD_LINK: self._hard_link,
            tar.SYMLINK: self._symlink,
            tar.FIFO: self._fifo,
            tar.CHARACTER: self._device,
            tar.BLOCK_DEVICE: self._device,
        }

    def write(self, member: tar.Member) -> None:
        path = normalised(member.name)
        self._members += 1
        parent, _, name = path.rpartition(b"/")
        if name.startswith(_WHITEOUT_PREFIX):
            self._whiteout(parent, name, member)
        elif member.kind == tar.DIRECTORY:
            self.tree.make_folder(path)
            self._folders[path] = member
        elif not path:
            raise CorruptImage(f"the root of the layer is not a folder: {shown(member.name)!r}")
        else:
            self._make(self.tree.folder(parent), name, path, member)

    def finish(self) -> Unpacked:
        """Set the attributes of all folders, each after what is below it."""
        for path in self.tree.implied:
            self._folders[path] = _ROOT
        for path in sorted(self._folders, reverse=True):
            descriptor = self.tree.lookup(path)
            if descriptor is not None:  # else a later member replaced it
                on_disk = self._attributes.set_open(descriptor, self._folders[path], path, opaque=path in self.tree.opaque)
                self._record.add(path, mtree.FOLDER, on_disk)
        implied = sorted(path for path in self.tree.implied if path not in self.tree.whiteouts)
        return Unpacked(self._size, self._members, implied, self._devices, self._device_names)

    def _make(self, parent: int, name: bytes, path: bytes, member: tar.Member) -> None:
        maker = self._makers[member.kind]
        try:
            maker(parent, name, path, member)
        except FileExistsError:  # nothing has been read of the content yet: the name is taken first
            self.tree.make_room(parent, name, path)
            self._folders.pop(path, None)
            maker(parent, name, path, member)

    def _regular(self, parent: int, name: bytes, path: bytes, member: tar.Member) -> None:
        descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        content = _Summed(self._reader)
        try:
            if member.pieces is not None:
                tar.write_pieces(descriptor, member.pieces, member.size, content)
            else:
                for chunk in content:
                    tar.write_whole(descriptor, chunk)
            on_disk = self._attributes.set_open(descriptor, member, path)
        finally:
            os.close(descriptor)
        if member.pieces is None:
            self._record.add(path, mtree.REGULAR, on_disk, member.size, content.checksum)
            self._size += member.size
        else:
            self._record.add_sparse(path, on_disk, member.size, content.checksum, member.pieces)
            self._size += sum(length for _, length in member.pieces)

    def _hard_link(self, parent: int, name: bytes, path: bytes, member: tar.Member) -> None:
        target = normalised(member.link)
        if target == path:
            return
        folder, _, target_name = target.rpartition(b"/")
        source = self.tree.lookup(folder) if target_name else None
        if source is None or not _may_be_linked(source, target_name):
            raise CorruptImage(f"{shown(path)!r} is a hard link to {shown(target)!r}, which is no file in the layer")
        # The lookup may have closed the parent, where that was the least recently used.
        os.link(target_name, name, src_dir_fd=source, dst_dir_fd=self._again(parent, path), follow_symlinks=False)
        self._record.add_hard_link(path, target)

    def _again(self, parent: int, path: bytes) -> int:
        folder = path.rpartition(b"/")[0]
        return self.tree.folder(folder) if folder else parent

    def _symlink(self, parent: int, name: bytes, path: bytes, member: tar.Member) -> None:
        if not member.link or b"\0" in member.link:
            raise CorruptImage(f"{shown(path)!r} is a symbolic link to nothing, or to a name with a NUL")
        os.symlink(member.link, name, dir_fd=parent)
        on_disk = self._attributes.set_named(parent, name, member, path)
        self._record.add(path, mtree.SYMLINK, on_disk, len(member.link), crc32(member.link))

    def _fifo(self, parent: int, name: bytes, path: bytes, member: tar.Member) -> None:
        os.mkfifo(name, 0o600, dir_fd=parent)
        self._record.add(path, mtree.FIFO, self._attributes.set_named(parent, name, member, path))

    def _device(self, parent: int, name: bytes, path: bytes, member: tar.Member) -> None:
        """Leave devices out: a user namespace cannot make them (EPERM), and containers get theirs in /dev; 0:0 is a whiteout."""
        if member.kind == tar.CHARACTER and member.device == (0, 0):  # as the kernel's overlay has it in an upper layer
            self.tree.white_out(path)
            return
        self._devices += 1
        if len(self._device_names) < _MAX_NAMED:
            self._device_names.append(shown(path))
        with contextlib.suppress(FileNotFoundError):  # usually there is nothing that it replaces
            self.tree.make_room(parent, name, path)

    def _whiteout(self, parent: bytes, name: bytes, member: tar.Member) -> None:
        if name == _OPAQUE_MARK:
            self.tree.make_opaque(parent)
        elif not name.startswith(_AUFS_PREFIX):
            hidden = name[len(_WHITEOUT_PREFIX) :]
            if hidden in {b"", b".", b".."}:
                raise CorruptImage(f"a whiteout hides nothing: {shown(member.name)!r}")
            self.tree.white_out(parent + b"/" + hidden if parent else hidden)


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.members:
        raise CorruptImage(f"the layer has more than {limits.members} members", "RL_LAYER_MAX_FILES sets another limit")


def _write_member(writer: _Writer, member: tar.Member) -> None:
    try:
        writer.write(member)
    except OSError as error:  # the path given to the kernel is one component only
        error.filename, error.filename2 = shown(member.name), None
        raise


def _may_be_linked(folder: int, name: bytes) -> bool:
    try:
        mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISFIFO(mode)  # not a whiteout


class _Summed:
    """The content of the current member as it is read, and then its checksum."""

    def __init__(self, reader: tar.TarReader) -> None:
        self._reader = reader
        self.checksum = 0

    def __iter__(self) -> Iterator[memoryview]:
        for chunk in self._reader.content():
            self.checksum = crc32(chunk, self.checksum)
            yield chunk
