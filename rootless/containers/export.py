"""A container's root file system as a tar (`rl export`)."""

import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

from rootless import events
from rootless.containers.store import ContainerStore, is_of_this_node
from rootless.errors import NoSuchObject
from rootless.images import layers, tar
from rootless.images.output_file import write_all
from rootless.images.tar import Member
from rootless.images.tar_writer import TarWriter
from rootless.linux import namespaces
from rootless.linux.sync import syncfs
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent
from rootless.storage.merged_tree import MergedTree, Node, xattrs_of
from rootless.storage.vfs import is_copied

_BLOCK: Final = 1 << 20
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KINDS: Final = {
    stat.S_IFREG: tar.REGULAR,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFIFO: tar.FIFO,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK_DEVICE,
}  # a socket is nothing that a tar could hold
# What a running container has removed meanwhile, or replaced by a symbolic link, a socket, or a file of another kind.
_REPLACED: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EINVAL})
_OWN: Final = ("user.containers.", "trusted.")


def export(locations: Locations, name: str, output: int) -> None:
    """Write the root file system of a container, running or not, as a tar to a descriptor; volumes and other mounts are left out.

    Owners, modes, times, hard links and xattrs are those that the container sees. What a running container changes meanwhile may
    be in the tar or not. The caller is single-threaded. Raises `NoSuchObject`, `InvalidInput`, `NodeLacks`, `OSError`.
    """
    document = ContainerStore(locations).find(name)
    folder = ContainerStore(locations).folder(document["Id"])
    trees = [f"{folder}/upper"]
    if not (document["Driver"] == "vfs" and is_copied(folder)):
        keys = reversed(document["Rl"]["LayerKeys"])
        trees += [f"{layers.folder_of(locations, key)}/{layers.TREE}" for key in keys]
    # The server of a FUSE root writes late.
    late = document["Driver"] == "fuse" and document["State"]["Running"] and is_of_this_node(document)
    run_in_parent(locations, _write_tree, trees, output, document["State"]["Pid"] if late else 0)
    if not os.path.exists(f"{folder}/container.json"):
        raise NoSuchObject(f"container {name} was removed while it was exported", "what was written is not whole")
    events.emit_container(locations, document, "export")


def _write_tree(trees: list[str], output: int, pid: int) -> None:
    if pid:
        _sync_root(pid)
    buffered = _Buffered(output)
    archive = TarWriter(buffered.write)
    names: dict[tuple[int, int], bytes] = {}  # layer and inode -> the first name of a file with several
    with MergedTree(trees) as tree:
        for node in tree.walk():
            key = (node.layer, node.status.st_ino)
            first = names.get(key) if node.status.st_nlink > 1 and not stat.S_ISDIR(node.status.st_mode) else None
            if first is not None:
                _write_hard_link(archive, tree, node, first)
            elif _write_node(archive, tree, node):
                names[key] = node.path
    archive.finish()
    buffered.flush()


def _write_node(archive: TarWriter, tree: MergedTree, node: Node) -> bool:
    """Write one file; False where it has vanished, or cannot be in a tar."""
    kind = _KINDS.get(stat.S_IFMT(node.status.st_mode))
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


def _sync_root(pid: int) -> None:
    """Have the server of a running container's FUSE root write out what it still holds; a container that has ended is synced.

    FUSE answers none but processes of the container's user namespace (fuse_allow_current_process), so a child of ours joins that,
    and nothing else of the container.
    """
    child = os.fork()
    if child == 0:
        number = errno.EIO
        try:
            _join_and_sync(pid)
            number = 0
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            number = 0
        except OSError as error:
            number = error.errno or number
        finally:
            os._exit(number)
    number = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if number:
        raise OSError(abs(number), f"cannot write out the container's files: {os.strerror(abs(number))}")


def _join_and_sync(pid: int) -> None:
    namespaces.setns(namespaces.open_namespace(pid, namespaces.NEWUSER), namespaces.NEWUSER)
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    syncfs(root)


class _Buffered:
    """Gathers small writes."""

    def __init__(self, output: int) -> None:
        self._output = output
        self._buffer = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        if len(data) >= _BLOCK:
            self.flush()
            write_all(self._output, data)
            return
        self._buffer += data
        if len(self._buffer) >= _BLOCK:
            self.flush()

    def flush(self) -> None:
        write_all(self._output, bytes(self._buffer))
        self._buffer = bytearray()
