"""Writing files of a union as members of a tar: `rl export` all of them, `rl commit` those that a container changed.

Runs in the parent namespace. Files are opened in the folder that the node has, by name, and never through a symbolic link.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from rootless.errors import InvalidInput
from rootless.images import tar, tar_writer
from rootless.images.tar import Member
from rootless.images.tar_writer import TarWriter
from rootless.storage.merged_tree import MergedTree, Node, xattrs_of

_BLOCK: Final = 1 << 20
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# What a running container has removed meanwhile, or replaced by a symbolic link, a socket, or a file of another kind.
_REPLACED: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EINVAL})
_OWN: Final = ("user.containers.", "trusted.")
_WHITEOUT: Final = b".wh."  # image-spec layer.md, "Whiteouts"
_OPAQUE: Final = b".wh..wh..opq"


class NodeTar:
    """Writes nodes of `tree`, files with several names once and then as hard links; `write` takes the bytes, in large pieces."""

    def __init__(self, tree: MergedTree, write: Callable[[bytes | memoryview], None]) -> None:
        self._tree = tree
        self._buffered = _Buffered(write)
        self._archive = TarWriter(self._buffered.write)
        self._names: dict[tuple[int, int], bytes] = {}  # layer and inode -> the first name of a file with several

    def add(self, node: Node) -> None:
        """Write one file; what has vanished meanwhile is left out."""
        key = (node.layer, node.status.st_ino)
        first = self._names.get(key) if node.status.st_nlink > 1 and not stat.S_ISDIR(node.status.st_mode) else None
        if first is not None:
            _write_hard_link(self._archive, self._tree, node, first)
        elif _write_node(self._archive, self._tree, node):
            self._names[key] = node.path

    def add_to_layer(self, node: Node) -> None:
        """Write one file of a layer. Raises `InvalidInput` for a name that means a whiteout there."""
        if node.name.startswith(_WHITEOUT):
            shown = node.path.decode(errors="backslashreplace")
            raise InvalidInput(f"the file {shown!r} cannot be in a layer: names with .wh. stand for what is deleted", "rename it")
        self.add(node)

    def add_member(self, member: Member, content: Iterable[bytes | memoryview] = ()) -> None:
        """Write what is no file of the union."""
        self._archive.add(member, content)

    def white_out(self, path: bytes) -> None:
        """Write that what lower layers have at `path` is deleted."""
        folder, slash, name = path.rpartition(b"/")
        self._mark(folder + slash + _WHITEOUT + name)

    def make_opaque(self, path: bytes) -> None:
        """Write that a folder hides what lower layers have in it."""
        self._mark(path + b"/" + _OPAQUE)

    def finish(self) -> None:
        """Write the archive's end."""
        self._archive.finish()
        self._buffered.flush()

    def _mark(self, name: bytes) -> None:
        self._archive.add(tar_writer.file("", 0)._replace(name=name))


def _write_node(archive: TarWriter, tree: MergedTree, node: Node) -> bool:
    """Write one file; False where it has vanished, or cannot be in a tar."""
    kind = tar.kind_of(node.status.st_mode)
    if kind is None:
        return False
    if kind not in {tar.REGULAR, tar.DIRECTORY}:
        return _write_special(archive, tree, node, kind)
    try:
        descriptor = os.open(node.name, _OPEN, dir_fd=node.folder)
    except OSError as error:
        if error.errno in _REPLACED:
            return False
        raise
    try:
        status = os.fstat(descriptor)
        if stat.S_IFMT(status.st_mode) != stat.S_IFMT(node.status.st_mode):
            return False
        current = node._replace(status=status)
        member = _member(tree, current, kind, xattrs_of(descriptor))
        archive.add(member, _content(descriptor, status.st_size) if kind == tar.REGULAR else ())
    finally:
        os.close(descriptor)
    return True


def _write_special(archive: TarWriter, tree: MergedTree, node: Node, kind: bytes) -> bool:
    member = _member(tree, node, kind, {})
    if kind == tar.SYMLINK:
        try:
            member = member._replace(link=os.readlink(node.name, dir_fd=node.folder))
        except OSError as error:
            if error.errno in _REPLACED:
                return False
            raise
    elif kind != tar.FIFO:
        member = member._replace(device=(os.major(node.status.st_rdev), os.minor(node.status.st_rdev)))
    archive.add(member)
    return True


def _write_hard_link(archive: TarWriter, tree: MergedTree, node: Node, first: bytes) -> None:
    archive.add(_member(tree, node, tar.HARD_LINK, {})._replace(link=first, size=0))


def _member(tree: MergedTree, node: Node, kind: bytes, xattrs: dict[str, bytes]) -> Member:
    attributes = tree.attributes(node, xattrs)
    name = node.path or b"."
    return Member(
        name=name + b"/" if kind == tar.DIRECTORY else name,
        kind=kind,
        mode=attributes.mode,
        uid=attributes.uid,
        gid=attributes.gid,
        size=node.status.st_size if kind == tar.REGULAR else 0,
        mtime=node.status.st_mtime_ns,
        link=b"",
        device=(0, 0),
        xattrs={os.fsencode(key): value for key, value in xattrs.items() if not key.startswith(_OWN)},
        pieces=None,
    )


def _content(descriptor: int, size: int) -> Iterator[bytes]:
    """Yield exactly `size` bytes: a running container may make a file longer or shorter than its header says."""
    while size:
        block = os.read(descriptor, min(size, _BLOCK)) or bytes(min(size, _BLOCK))
        size -= len(block)
        yield block


class _Buffered:
    """Gathers small writes."""

    def __init__(self, write: Callable[[bytes | memoryview], None]) -> None:
        self._write = write
        self._buffer = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        if len(data) >= _BLOCK:
            self.flush()
            self._write(data)
            return
        self._buffer += data
        if len(self._buffer) >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        self._write(bytes(self._buffer))
        self._buffer = bytearray()
