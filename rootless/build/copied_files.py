"""The files of one COPY or ADD, from their source to the container that becomes a layer: digest, owner, mode, archives.

A folder of the node is gone through twice: for the digest, which is looked up in the cache, and to write the files where that has
none. The files of a stage come by way of a tar, as two roots are mounted by two workers.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from typing import IO, Final

from rootless.build.cache import content_of
from rootless.build.destination import put_archive, put_members
from rootless.build.modes import parse_mode
from rootless.build.selection import SelectedMembers, Selection, matches
from rootless.containers.copying.extraction import Members
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


class CopiedFiles:
    """What is taken of a folder of the node; `root` is open. With `unpacks` files that are archives are apart."""

    def __init__(self, root: int, selection: Selection, *, unpacks: bool) -> None:
        self._root = root
        self._selection = selection
        self._archives: list[str] = []
        self._others = matches(root, selection)
        if unpacks:
            self._archives = [match.path for match in self._others if self._is_archive(match.path)]
            self._others = [match for match in self._others if match.path not in self._archives]

    def digest(self) -> str:
        """Return a digest of all that is taken."""
        found = content_of(self._members())
        for path in self._archives:
            with self._opened(path) as file:
                found += _digest(file)
        return found

    def put(self, root: int, target: str, owner: str, mode: str) -> None:
        """Write it below the root of a container. Raises `RlError`, `OSError`."""
        ids = _resolved(root, owner or "0")
        is_single = len(self._others) + len(self._archives) == 1
        put_members(root, target, changed(self._members(), ids, mode), ids, is_single=is_single)
        for path in self._archives:
            with self._opened(path) as file:
                reader = TarReader(archive_blocks(file, Limits()))
                put_archive(root, target, changed(reader, ids if owner else None, ""), ids)

    def _members(self) -> SelectedMembers:
        return SelectedMembers(self._root, self._selection, self._others)

    def _opened(self, path: str) -> IO[bytes]:
        return open(Place(self._root, "", "").open(f"/{path}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY), "rb", buffering=0)

    def _is_archive(self, path: str) -> bool:
        """Tell whether a match is a file that holds a tar, compressed or not."""
        try:
            file = self._opened(path)
        except (FileNotFoundError, NotADirectoryError, PermissionError):  # told when it is read
            return False
        with file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or self._selection.ignored.has(path):
                return False
            first = file.read(tar.BLOCK)
            file.seek(0)
            if not is_compressed_archive(first) and first[257:262] != b"ustar":
                return False
            try:
                return next(iter(TarReader(archive_blocks(file, Limits()))), None) is not None
            except CorruptImage:  # compressed, but no tar
                return False


def _digest(file: IO[bytes]) -> str:
    summed = hashlib.sha256()
    while block := file.read(_BLOCK):
        summed.update(block)
    return summed.hexdigest()


def write_tar(root: int, selection: Selection, output: IO[bytes]) -> bool:
    """Write what is taken of a stage's root as a tar; tells whether it is one file or folder. Runs in a worker."""
    members = SelectedMembers(root, selection, matches(root, selection))
    archive = TarWriter(lambda data: write_all(output.fileno(), data))
    for member in members:
        archive.add(member, members.content())
    archive.finish()
    return len(members.matches) == 1


def put_tar(root: int, *, file: IO[bytes], target: str, owner: str, mode: str, is_single: bool) -> None:
    """Write that tar below the root of a container; the files keep their owners where none is given. Runs in a worker."""
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    reader = TarReader(iter(lambda: os.read(file.fileno(), _BLOCK), b""))
    ids = _resolved(root, owner) if owner else None
    put_members(root, target, changed(reader, ids, mode), ids or (0, 0), is_single=is_single)


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
