"""The members of an archive of images: a tar, plain or compressed, from a file or a pipe, or a folder with the same files.

A member's content is only ever written to files of the store's `partial` folder, whose names are ours, and hashed on the way: no
name of an archive is ever given to the kernel, but for a folder's, which cannot leave it. Links are followed in the table of names.

A plain tar in a file is read once for its table of names, and what is wanted is copied from its place. Of all else every member is
kept as it comes by, as it is known only at the end which are wanted.
"""

import io
import os
import posixpath
import secrets
import stat
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, NamedTuple, Protocol, TypeVar

from rootless.errors import CorruptImage
from rootless.images import tar
from rootless.images.archive_blocks import Rejoined, archive_blocks, is_compressed_archive
from rootless.images.blobs import explain_full_disk, install
from rootless.images.compression import BLOCK, Limits, Source
from rootless.images.layout import MAX_DOCUMENT, Layout
from rootless.images.tar import TarReader
from rootless.images.tree import normalised, shown
from rootless.linux.openat2 import open_in_root

T = TypeVar("T")

_MAX_MEMBERS: Final = 100_000
_MAX_LINKS: Final = 8  # from one member to the next
_HEADERS: Final = 1 << 16  # bytes read at once where only headers are looked at


class Kept(NamedTuple):
    """A member's content in a file of the store that is no blob yet; `size` is in bytes, `digest` is SHA-256."""

    member: str
    path: str
    size: int
    digest: str


class Members(Protocol):
    """What can be asked of an archive. Methods raise `CorruptImage` naming the member, and `OSError`."""

    def has(self, name: str) -> bool:
        """Tell whether there is a regular file of this name, or a link to one."""

    def document(self, name: str) -> bytes:
        """Return the content of a small file."""

    def keep(self, name: str) -> Kept:
        """Return the file as one of the store's `partial` folder."""


class Keeper:
    """Writes members into the store's `partial` folder; leaving it as a context manager removes those that became no blobs."""

    def __init__(self, layout: Layout) -> None:
        layout.prepare()
        self._layout = layout
        self._paths: set[str] = set()

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for path in self._paths:
            os.unlink(path)

    def keep(self, member: str, blocks: Iterable[bytes | memoryview]) -> Kept:
        """Write and hash a member's content."""
        import hashlib  # loads OpenSSL, 3 ms

        path = self._layout.partial_path(f"new:{secrets.token_hex(8)}")
        digest, size = hashlib.sha256(), 0
        with explain_full_disk(path), open(path, "xb", buffering=0) as file:
            self._paths.add(path)
            for block in blocks:
                _write_all(file, block)
                digest.update(block)
                size += len(block)
        return Kept(member, path, size, f"sha256:{digest.hexdigest()}")

    def install(self, kept: Kept, digest: str) -> None:
        """Make a kept file the blob with this digest, which the caller has checked; a no-op where it is one already."""
        if kept.path not in self._paths:
            return
        descriptor = os.open(kept.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with explain_full_disk(kept.path):
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        install(self._layout, kept.path, digest)
        self._paths.discard(kept.path)


def open_file(source: Source, keeper: Keeper, limits: Limits = Limits()) -> Members:  # noqa: B008
    """Return the members of a tar that is read from a file or pipe, which stays the caller's. Raises `CorruptImage`."""
    file = source.raw if isinstance(source, io.BufferedReader) else source  # a buffer of which nothing has been read
    if isinstance(file, io.FileIO) and stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        start = file.tell()
        compressed = is_compressed_archive(file.read(BLOCK))
        file.seek(start)
        if not compressed:
            return _IndexedTar(file, keeper)
    return _StreamedTar(archive_blocks(Rejoined(source), limits), keeper)


def name_of(member: bytes | str) -> str:
    """Return the normalised name of a member. Raises `CorruptImage` for one that leads out of the archive."""
    return normalised(os.fsencode(member)).decode(errors="surrogateescape")


class _Names:
    """The names of a tar's members: checked, counted, and links followed."""

    def __init__(self) -> None:
        self._links: dict[str, str] = {}
        self._count = 0

    def note(self, member: tar.Member, files: dict[str, T]) -> str | None:
        """Return the name of a regular file, else None; what had the name before goes, as when a tar is unpacked."""
        self._count += 1
        if self._count > _MAX_MEMBERS:
            raise CorruptImage(f"the archive has more than {_MAX_MEMBERS} members")
        name = name_of(member.name)
        if member.kind == tar.DIRECTORY:
            return None
        files.pop(name, None)
        self._links.pop(name, None)
        if member.kind in {tar.SYMLINK, tar.HARD_LINK}:
            self._links[name] = _target(name, member)
            return None
        if member.kind != tar.REGULAR or member.pieces is not None:
            raise CorruptImage(f"{shown(member.name)!r} is a device, a FIFO or a sparse file, which no archive of images has")
        return name

    def find(self, name: str, files: dict[str, T]) -> T | None:
        """Return what `files` has for a name or for what it is a link to."""
        for _ in range(_MAX_LINKS):
            name = self._links.get(name, name)
        return files.get(name)

    def get(self, name: str, files: dict[str, T]) -> T:
        """Return the same, of a name that the archive itself gives. Raises `CorruptImage`."""
        found = self.find(name_of(name), files)
        if found is None:
            raise CorruptImage(f"{shown(os.fsencode(name))!r} is missing")
        return found


class _Range(NamedTuple):
    """Where in the archive a file lies, in bytes."""

    place: int
    size: int


class _IndexedTar:
    """A plain tar in a regular file, whose files are copied when they are wanted."""

    def __init__(self, file: io.FileIO, keeper: Keeper) -> None:
        self._file = file
        self._keeper = keeper
        self._names = _Names()
        self._files: dict[str, _Range] = {}
        end = os.fstat(file.fileno()).st_size
        reader = _HeaderReader(file)
        for member in reader:
            name = self._names.note(member, self._files)
            if name is not None:
                self._files[name] = _Range(reader.place, member.size)
                if reader.place + member.size > end:
                    raise CorruptImage(f"the archive ends in the middle of {shown(member.name)!r}")
            reader.skip()

    def has(self, name: str) -> bool:
        return self._names.find(name, self._files) is not None

    def document(self, name: str) -> bytes:
        found = self._names.get(name, self._files)
        _check_length(name, found.size)
        return b"".join(self._content(found))

    def keep(self, name: str) -> Kept:
        return self._keeper.keep(name, self._content(self._names.get(name, self._files)))

    def _content(self, found: _Range) -> Iterator[bytes]:
        place, end = found.place, found.place + found.size
        while place < end:
            block = os.pread(self._file.fileno(), min(end - place, BLOCK), place)
            if not block:
                raise CorruptImage("the archive was made shorter while it was read")
            place += len(block)
            yield block


class _HeaderReader(TarReader):
    """Reads the headers of a tar and leaps over the content, in a file that can be leapt in."""

    def __init__(self, file: io.FileIO) -> None:
        super().__init__(iter(lambda: file.read(_HEADERS), b""))
        self._file = file

    @property
    def place(self) -> int:
        """Where in the file the content of the current member begins."""
        return self._file.tell() - (len(self._block) - self._position)

    def skip(self) -> None:
        """Go on behind the current member's content."""
        if self._unread + self._padding > len(self._block) - self._position:
            self._file.seek(self.place + self._unread + self._padding)
            self._block, self._position = memoryview(b""), 0
            self._unread = self._padding = 0


class _StreamedTar:
    """A tar that comes by once: all its files, kept."""

    def __init__(self, blocks: Iterable[bytes], keeper: Keeper) -> None:
        self._names = _Names()
        self._files: dict[str, Kept] = {}
        reader = TarReader(blocks)
        for member in reader:
            name = self._names.note(member, self._files)
            if name is not None:
                self._files[name] = keeper.keep(name, reader.content())

    def has(self, name: str) -> bool:
        return self._names.find(name, self._files) is not None

    def document(self, name: str) -> bytes:
        kept = self.keep(name)
        _check_length(name, kept.size)
        with open(kept.path, "rb") as file:
            return file.read()

    def keep(self, name: str) -> Kept:
        return self._names.get(name, self._files)._replace(member=name)


class FolderMembers:
    """The files of a folder. Symbolic links in it are followed as far as they stay inside."""

    def __init__(self, path: str, keeper: Keeper) -> None:
        self._root = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._keeper = keeper

    def close(self) -> None:
        """Close the folder."""
        os.close(self._root)

    def has(self, name: str) -> bool:
        """See `Members`."""
        try:
            os.close(open_in_root(self._root, name_of(name), os.O_PATH))
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def document(self, name: str) -> bytes:
        """See `Members`."""
        with self._open(name) as file:
            _check_length(name, os.fstat(file.fileno()).st_size)
            return file.read(MAX_DOCUMENT) or b""

    def keep(self, name: str) -> Kept:
        """See `Members`."""
        with self._open(name) as file:
            return self._keeper.keep(name, iter(lambda: file.read(BLOCK), b""))

    def _open(self, name: str) -> io.FileIO:
        try:
            # O_NONBLOCK: to open a FIFO would wait for a writer.
            descriptor = open_in_root(self._root, name_of(name), os.O_RDONLY | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            raise CorruptImage(f"{shown(os.fsencode(name))!r} is missing") from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise CorruptImage(f"{shown(os.fsencode(name))!r} is no regular file")
        return io.FileIO(descriptor, "rb")


def _target(name: str, member: tar.Member) -> str:
    """Return the name of what a link is to; a symbolic link's target is relative to its folder, a hard link's to the top."""
    target = member.link.decode(errors="surrogateescape")
    if member.kind == tar.SYMLINK:
        target = posixpath.join(posixpath.dirname(name), target)
    target = posixpath.normpath(target)
    if target == ".." or target.startswith(("../", "/")) or "\0" in target:
        raise CorruptImage(f"{shown(member.name)!r} is a link that leads out of the archive: {shown(member.link)!r}")
    return target


def _check_length(name: str, size: int) -> None:
    if size > MAX_DOCUMENT:
        raise CorruptImage(f"{shown(os.fsencode(name))!r} has {size} bytes, but manifests and configs have {MAX_DOCUMENT} at most")


def _write_all(file: io.FileIO, block: bytes | memoryview) -> None:
    view = memoryview(block)
    while view:
        view = view[file.write(view) :]
