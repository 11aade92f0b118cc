"""Writing a copy: the members of a tar into folders that exist, and that somebody else may change meanwhile.

Files replace files; a folder merges with a folder; neither replaces the other. Each component of a name is opened in the folder
above it and never through a link, so that nothing leads out of the folder that the copy goes to.
"""

import contextlib
import errno
import functools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, Protocol

from rootless.containers.copying.places import Place, find
from rootless.containers.copying.tree import TOP
from rootless.errors import InvalidInput, NodeLacks, NoSuchObject
from rootless.images import tar
from rootless.images.tar import Member, TarReader
from rootless.images.tree import normalised, shown

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_IN_PLACE: Final = os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK
_REFUSED: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL})


class Members(Protocol):
    """The members of a tar, or what is like one; between two members `content` yields the bytes of the first."""

    def __iter__(self) -> Iterator[Member]:
        """Yield the members in order."""

    def content(self) -> Iterator[memoryview]:
        """Yield the stored bytes of the current member."""


class Owner(NamedTuple):
    """Whose the files become: `archive` keeps the owners that the tar has, else they are the process's own."""

    archive: bool


class _Target(NamedTuple):
    """The open folder that a copy goes to, and the name that TOP gets there; empty where its content goes right into the folder.

    `linked`: there is a link of that name to a file, which a regular file is written to.
    """

    folder: int
    name: bytes
    linked: bool = False


def extract_copy(place: Place, source_path: str, blocks: Iterable[bytes], owner: Owner) -> None:
    """Write a copy of TOP, that was at `source_path`, to a place, by the rules of `docker cp`.

    Without any member nothing is done: the source failed. Raises `NoSuchObject`, `InvalidInput`, `NodeLacks`, `OSError`.
    """
    reader = TarReader(blocks)
    writer: _Writer | None = None
    try:
        for member in reader:
            if writer is None:
                target = _choose_target(place, source_path, is_folder=member.kind == tar.DIRECTORY)
                writer = _Writer(reader, target, place, owner, functools.partial(_renamed, target.name))
            writer.write(member)
        if writer is not None:
            writer.finish()
    finally:
        if writer is not None:
            os.close(writer.target.folder)


def extract_archive(place: Place, blocks: Iterable[bytes], owner: Owner, *, with_top: bool = False) -> None:
    """Unpack a tar of the user's into the folder at a place, which `with_top` gets the attributes that the tar has for it.

    Raises as `extract_copy`, and `CorruptImage` for a malformed one.
    """
    extract_members(place, TarReader(blocks), owner, with_top=with_top)


def extract_members(
    place: Place,
    reader: Members,
    owner: Owner,
    *,
    with_top: bool = False,
    path_of: Callable[[bytes], bytes] = normalised,
) -> None:
    """Write members into the folder at a place, each at the path that `path_of` gives it; otherwise as `extract_archive`."""
    folder = _open_folder(place)
    writer = _Writer(reader, _Target(folder, b""), place, owner, path_of)
    writer.with_top = with_top
    try:
        for member in reader:
            writer.write(member)
        writer.finish()
    finally:
        os.close(folder)


def _choose_target(place: Place, source_path: str, *, is_folder: bool) -> _Target:
    found = find(place, follow=True)
    linked = found is not None and not found.name
    if found is not None:
        os.close(found.folder)
        if stat.S_ISDIR(found.status.st_mode):
            name = "" if _means_content(source_path) else os.path.basename(source_path.rstrip("/"))
            return _Target(_open_folder(place), os.fsencode(name))
        if is_folder:
            raise InvalidInput(f"cannot copy a folder to a file: {place.shown}", "give a folder, or a name that is free")
    elif place.wants_folder and not is_folder:
        raise NoSuchObject(f"no such folder: {place.shown}", "make it first, or leave out the slash at its end")
    folder_path, name = place._replace(path=place.path.rstrip("/") or "/").split()
    parent = place._replace(path=folder_path, shown=f"{place.shown.rpartition('/')[0] or place.shown}")
    return _Target(_open_folder(parent), os.fsencode(name), linked)


def _means_content(source_path: str) -> bool:
    return source_path.endswith(("/.", "/..")) or source_path in (".", "..") or not source_path.strip("/")


def _open_folder(place: Place) -> int:
    try:
        return place.open(place.path or "/", os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        raise NoSuchObject(f"no such folder: {place.shown}", "make it first") from None
    except NotADirectoryError:
        raise InvalidInput(f"{place.shown} is not a folder", "give a folder") from None


def _renamed(target: bytes, name: bytes) -> bytes:
    """Return the name below the target folder of a member below TOP."""
    inner = name.rstrip(b"/")[len(TOP) :].lstrip(b"/")
    return b"/".join(part for part in (target, inner) if part)


class _Writer:
    """Makes the members' files below one open folder."""

    def __init__(
        self, reader: Members, target: _Target, place: Place, owner: Owner, path_of: Callable[[bytes], bytes]
    ) -> None:
        """`path_of` tells from a member's name the path below the target, its components joined by single slashes."""
        self.target = target
        self._path_of = path_of
        self._reader = reader
        self._place = place
        self._owner = owner
        self.with_top = False  # whether the target gets the attributes of a member without a name
        self._folders: dict[bytes, Member] = {}  # made here: their attributes are set at the end
        self._makers = {
            tar.REGULAR: self._regular,
            tar.HARD_LINK: self._hard_link,
            tar.SYMLINK: self._symlink,
            tar.FIFO: self._fifo,
        }

    def write(self, member: Member) -> None:
        """Make one member's file."""
        path = self._path_of(member.name)
        try:
            if member.kind == tar.DIRECTORY:
                self._make_folder(path, member)
                return
            folder, _, name = path.rpartition(b"/")
            if not name:
                raise InvalidInput(f"the archive's member {shown(member.name)!r} has no name")
            maker = self._makers.get(member.kind)
            if maker is None:
                text = f"cannot make the device {shown(path)!r}: a user namespace permits none"
                raise NodeLacks(text, "leave it out; rl run --device gives a container one of the node's")
            with self._opened(folder) as parent:
                maker(parent, name, member)
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"{self._place.shown} ({shown(path)})") from None

    def finish(self) -> None:
        """Set the attributes of the folders that were made, each after what is below it."""
        for path in sorted(self._folders, reverse=True):
            with self._opened(path) as folder:
                self._set_attributes(folder, self._folders[path])

    @contextlib.contextmanager
    def _opened(self, path: bytes) -> Iterator[int]:
        """Yield a folder below the target; one that is missing above a member of a user's tar is made."""
        current = os.dup(self.target.folder)
        try:
            for component in path.split(b"/") if path else ():
                try:
                    following = os.open(component, _FOLDER, dir_fd=current)
                except FileNotFoundError:
                    os.mkdir(component, 0o755, dir_fd=current)
                    following = os.open(component, _FOLDER, dir_fd=current)
                os.close(current)
                current = following
            yield current
        finally:
            os.close(current)

    def _make_folder(self, path: bytes, member: Member) -> None:
        folder, _, name = path.rpartition(b"/")
        if not name:  # the target itself, which is there
            if self.with_top:
                self._folders[path] = member
            return
        with self._opened(folder) as parent:
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
            except FileExistsError:
                if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                    raise InvalidInput(f"cannot overwrite a file with a folder: {shown(path)}", "remove it first") from None
                if not self._owner.archive:
                    return
            self._folders[path] = member

    def _make_room(self, parent: int, name: bytes) -> None:
        """Remove the file that a member replaces."""
        try:
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise InvalidInput(f"cannot overwrite a folder with a file: {shown(name)}", "remove it first")
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return

    def _regular(self, parent: int, name: bytes, member: Member) -> None:
        descriptor = self._new_file(parent, name)
        try:
            self._write_content(descriptor, member)
            self._set_attributes(descriptor, member)
        finally:
            os.close(descriptor)

    def _new_file(self, parent: int, name: bytes) -> int:
        if self.target.linked:  # the copy is this one file
            return self._place.open(self._place.path, _IN_PLACE)
        try:
            self._make_room(parent, name)
            return os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        except OSError as error:
            if error.errno != errno.EBUSY:  # mounted upon, as /etc/hosts is: its content is replaced
                raise
            return os.open(name, _IN_PLACE | os.O_NOFOLLOW, dir_fd=parent)

    def _write_content(self, descriptor: int, member: Member) -> None:
        if member.pieces is None:
            for chunk in self._reader.content():
                tar.write_whole(descriptor, chunk)
            return
        tar.write_pieces(descriptor, member.pieces, member.size, self._reader.content())

    def _hard_link(self, parent: int, name: bytes, member: Member) -> None:
        folder, _, source = self._path_of(member.link).rpartition(b"/")
        self._make_room(parent, name)
        with self._opened(folder) as other:
            os.link(source, name, src_dir_fd=other, dst_dir_fd=parent, follow_symlinks=False)

    def _symlink(self, parent: int, name: bytes, member: Member) -> None:
        self._make_room(parent, name)
        os.symlink(member.link, name, dir_fd=parent)
        if self._owner.archive:
            self._chown(name, member, parent)
        os.utime(name, ns=(member.mtime, member.mtime), dir_fd=parent, follow_symlinks=False)

    def _fifo(self, parent: int, name: bytes, member: Member) -> None:
        self._make_room(parent, name)
        os.mkfifo(name, member.mode & 0o777, dir_fd=parent)
        if self._owner.archive:
            self._chown(name, member, parent)

    def _set_attributes(self, descriptor: int, member: Member) -> None:
        if self._owner.archive:
            self._chown(descriptor, member, None)
        mode = member.mode if self._owner.archive else member.mode & 0o1777
        os.fchmod(descriptor, mode)  # after chown, which clears set-ID bits
        for name, value in member.xattrs.items():
            try:
                os.setxattr(descriptor, name, value)
            except OSError as error:
                if error.errno not in _REFUSED:
                    raise
        os.utime(descriptor, ns=(member.mtime, member.mtime))

    def _chown(self, target: int | bytes, member: Member, parent: int | None) -> None:
        try:
            os.chown(target, member.uid, member.gid, dir_fd=parent, follow_symlinks=parent is None)
        except OSError as error:
            if error.errno == errno.EPERM and self._place.root is None:
                return  # on the node a user may own files only as himself: as cp -a
            if error.errno != errno.EINVAL:
                raise
            raise NodeLacks(
                f"{shown(member.name)!r} belongs to {member.uid}:{member.gid}, which the container does not have",
                "copy without --archive",
            ) from None
