"""The files of one COPY or ADD, from their source to the container that becomes a layer: digest, owner, mode, archives.

A folder of the node is gone through twice: for the digest, which is looked up in the cache, and to write the files where that has
none. The files of a stage come by way of a tar, as two roots are mounted by two workers.
"""

import contextlib
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import IO, Any, Final, Protocol

from rootless.build.cache import content_of
from rootless.build.destination import put_archive, put_members
from rootless.build.layer_writer import LayerWriter
from rootless.build.modes import parse_mode
from rootless.build.selection import SelectedMembers, Selection, matches
from rootless.containers.copying.extraction import Members, Owner, extract_members
from rootless.containers.copying.places import Place
from rootless.errors import CorruptImage
from rootless.images import tar
from rootless.images.archive_blocks import archive_blocks, is_compressed_archive
from rootless.images.compression import Limits
from rootless.images.output_file import write_all
from rootless.images.tar import Member, TarReader
from rootless.images.tar_writer import TarWriter
from rootless.runtime.users import resolve

_BLOCK: Final = 1 << 20


class Part(Protocol):
    """What one COPY or ADD takes of one source."""

    def key(self, stack: contextlib.ExitStack) -> Any:
        """Return what the step's place in the cache depends on (JSON can carry it); what that takes is kept until `stack` ends."""

    def prepare(self, stack: contextlib.ExitStack) -> int:
        """Get what `put` needs, until `stack` ends; returns how many files or folders are taken."""

    @property
    def needs_root(self) -> bool:
        """Whether it can only be written below a container's root, by `put`: archives, whose own links lead about."""

    def put(self, root: int, target: str, owner: str, mode: str, *, is_single: bool) -> None:
        """Write it below the root of a container, in a worker. Raises `RlError`, `OSError`."""

    def write(self, layer: LayerWriter, target: str, owner: str, mode: str, *, is_single: bool) -> None:
        """Write it to a layer, in a worker. Raises `RlError`, `OSError`."""


class FilesPart:
    """Files of a folder of the node. With `unpacks` those that are archives become what is in them."""

    def __init__(self, folder: str, selection: Selection, *, unpacks: bool = False) -> None:
        self._folder = folder
        self._selection = selection
        self._unpacks = unpacks

    def key(self, _stack: contextlib.ExitStack) -> Any:
        """Return a digest of all that is taken."""
        with _opened_folder(self._folder) as root:
            return _Files(root, self._selection, unpacks=self._unpacks).digest()

    def prepare(self, stack: contextlib.ExitStack) -> int:
        """Open the folder."""
        root = stack.enter_context(_opened_folder(self._folder))
        self._files = _Files(root, self._selection, unpacks=self._unpacks)
        return self._files.count

    @property
    def needs_root(self) -> bool:
        """Whether there are archives."""
        return self._files.has_archives

    def put(self, root: int, target: str, owner: str, mode: str, *, is_single: bool) -> None:
        """Write the files, root's unless there is an `owner`."""
        self._files.put(root, target, owner, mode, is_single=is_single)

    def write(self, layer: LayerWriter, target: str, owner: str, mode: str, *, is_single: bool) -> None:
        """Write the files to a layer, likewise."""
        ids = layer.owner(owner or "0")
        layer.put(target, changed(self._files.members(), ids, mode), ids, is_single=is_single)


class FetchedPart:
    """Files that `fetch` gets, which are got only where the cache does not know `key` (None: it depends on the files)."""

    def __init__(self, fetch: Callable[[], FilesPart], key: Any = None) -> None:
        self._fetch = functools.cache(fetch)
        self._key = key

    def key(self, stack: contextlib.ExitStack) -> Any:
        """Return what is known of the files, or their digest."""
        return self._fetch().key(stack) if self._key is None else self._key

    def prepare(self, stack: contextlib.ExitStack) -> int:
        """Get the files."""
        return self._fetch().prepare(stack)

    @property
    def needs_root(self) -> bool:
        """Whether there are archives."""
        return self._fetch().needs_root

    def put(self, root: int, target: str, owner: str, mode: str, *, is_single: bool) -> None:
        """Write the files."""
        self._fetch().put(root, target, owner, mode, is_single=is_single)

    def write(self, layer: LayerWriter, target: str, owner: str, mode: str, *, is_single: bool) -> None:
        """Write the files to a layer."""
        self._fetch().write(layer, target, owner, mode, is_single=is_single)


@contextlib.contextmanager
def _opened_folder(path: str) -> Iterator[int]:
    root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield root
    finally:
        os.close(root)


class _Files:
    """What is taken of a folder; `root` is open."""

    def __init__(self, root: int, selection: Selection, *, unpacks: bool) -> None:
        self._root = root
        self._selection = selection
        self._archives: list[str] = []
        self._others = matches(root, selection)
        if unpacks:
            self._archives = [match.path for match in self._others if self._is_archive(match.path)]
            self._others = [match for match in self._others if match.path not in self._archives]

    @property
    def count(self) -> int:
        """How many files or folders are taken."""
        return len(self._others) + len(self._archives)

    @property
    def has_archives(self) -> bool:
        """Whether any of them is an archive to unpack."""
        return bool(self._archives)

    def digest(self) -> str:
        """Return a digest of all that is taken."""
        found = content_of(self.members())
        for path in self._archives:
            with self._opened(path) as file:
                found += _digest(file)
        return found

    def put(self, root: int, target: str, owner: str, mode: str, *, is_single: bool) -> None:
        """Write it below the root of a container. Raises `RlError`, `OSError`."""
        ids = _resolved(root, owner or "0")
        put_members(root, target, changed(self.members(), ids, mode), ids, is_single=is_single)
        for path in self._archives:
            with self._opened(path) as file:
                reader = TarReader(archive_blocks(file, Limits()))
                put_archive(root, target, changed(reader, ids if owner else None, ""), ids)

    def members(self) -> SelectedMembers:
        """Return all but the archives."""
        return SelectedMembers(self._root, self._selection, self._others)

    def _opened(self, path: str) -> IO[bytes]:
        return open(Place(self._root, "", "").open(f"/{path}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb", buffering=0)

    def _is_archive(self, path: str) -> bool:
        """Tell whether a match is a file that holds a tar, compressed or not."""
        try:
            file = None if self._selection.ignored.has(path) else self._opened(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):  # no file, or told when it is read
            return False
        if file is None:
            return False
        with file:
            first = file.read(tar.BLOCK)
            file.seek(0)
            if not is_compressed_archive(first) and first[257:262] != b"ustar":
                return False
            try:
                return next(iter(TarReader(archive_blocks(file, Limits()))), None) is not None
            except CorruptImage:  # compressed, but no tar
                return False


def materialized(folder: str, selection: Selection, target: str) -> None:
    """Copy what is taken of a folder to another one of the user's, by the user's own rights."""
    with _opened_folder(folder) as root:
        members = SelectedMembers(root, selection, matches(root, selection))
        extract_members(Place(None, target, target), members, Owner(archive=False))


def _digest(file: IO[bytes]) -> str:
    summed = hashlib.sha256()
    while block := file.read(_BLOCK):
        summed.update(block)
    return summed.hexdigest()


def write_tar(root: int, selection: Selection, output: IO[bytes]) -> int:
    """Write what is taken of a stage's root as a tar; returns how many files or folders that are. Runs in a worker."""
    members = SelectedMembers(root, selection, matches(root, selection))
    archive = TarWriter(lambda data: write_all(output.fileno(), data))
    for member in members:
        archive.add(member, members.content())
    archive.finish()
    return len(members.matches)


class TarPart:
    """The files of a tar that `write_tar` has written, which keep their owners where none is given; a part but for the key."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def put(self, root: int, target: str, owner: str, mode: str, *, is_single: bool) -> None:
        """Write the files below a root."""
        ids = _resolved(root, owner) if owner else None
        put_members(root, target, changed(self.members(), ids, mode), ids or (0, 0), is_single=is_single)

    def write(self, layer: LayerWriter, target: str, owner: str, mode: str, *, is_single: bool) -> None:
        """Write the files to a layer."""
        ids = layer.owner(owner) if owner else None
        layer.put(target, changed(self.members(), ids, mode), ids or (0, 0), is_single=is_single)

    def members(self) -> TarReader:
        """Return the tar's members, from its beginning."""
        os.lseek(self._file.fileno(), 0, os.SEEK_SET)
        return TarReader(iter(lambda: os.read(self._file.fileno(), _BLOCK), b""))


class _Changed:
    """Members of which something is changed."""

    def __init__(self, members: Members, change: Callable[[Member], Member]) -> None:
        self._members = members
        self._change = change

    def __iter__(self) -> Iterator[Member]:
        return map(self._change, self._members)

    def content(self) -> Iterator[memoryview]:
        """Yield the bytes of the current member."""
        return self._members.content()


def changed(members: Members, owner: tuple[int, int] | None, mode: str) -> Members:
    """Return members with another owner, and with the changes of `--chmod`; symbolic links have no mode."""
    change_mode = parse_mode(mode) if mode else None

    def change(member: Member) -> Member:
        new = member if owner is None else member._replace(uid=owner[0], gid=owner[1])
        if change_mode is None or member.kind == tar.SYMLINK:
            return new
        return new._replace(mode=change_mode(member.mode, member.kind == tar.DIRECTORY))

    return _Changed(members, change)


def _resolved(root: int, owner: str) -> tuple[int, int]:
    """Return UID and GID; without a group the GID is the UID, as Docker has it."""
    user = resolve(root, owner)
    return user.uid, user.gid if ":" in owner else user.uid
