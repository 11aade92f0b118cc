"""What COPY and ADD take: paths and patterns of a source's root, and the files below them, as members named for their destination.

The root is a folder of the node (the context) or a mounted stage. Every path is resolved below it: no link leads out. A folder
gives its content, and first itself, as the member `.`; a file gives itself under its own name; with `parents` both keep the folders
above. Files that the context leaves out do not exist here.
"""

import contextlib
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from rootless.build.dockerfile.ignore import NOTHING, Ignored, compiled, has_wildcards
from rootless.containers.copying.places import Found, Place, find
from rootless.containers.copying.tree import copied_xattrs, file_content, member_of, open_beneath
from rootless.errors import NoSuchObject
from rootless.images import tar
from rootless.images.tar import Member

_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_PIVOT: Final = "/./"


class Selection(NamedTuple):
    """What is taken: `paths` may be patterns; `ignored` are those that the source leaves out, `excluded` those of --exclude."""

    paths: tuple[str, ...]
    ignored: Ignored = NOTHING
    excluded: Ignored = NOTHING
    parents: bool = False


class Match(NamedTuple):
    """One path below the root that is there; `kept` is how much of it, from its beginning, the copy leaves out (`parents`)."""

    path: str
    kept: int = 0


class _File(NamedTuple):
    """One file of a walk: its name in the copy, the open folder that it lies in (closed when the walk goes on), its name there."""

    name: bytes
    folder: int
    base: bytes
    status: os.stat_result


def matches(root: int, selection: Selection) -> list[Match]:
    """Return the paths that a selection means, in order; a pattern may mean none. Raises `NoSuchObject`."""
    found: dict[Match, None] = {}
    for path in selection.paths:
        pivot = path.find(_PIVOT) if selection.parents else -1
        wanted = _cleaned(path)
        kept = len(_cleaned(path[:pivot])) + 1 if pivot > 0 and _cleaned(path[:pivot]) != "." else 0
        spans = selection.parents and "**" in wanted
        if has_wildcards(wanted):
            for one in _matching(root, wanted.split("/"), selection, spans=spans):
                found[Match(one, kept)] = None
        elif not selection.ignored.has(wanted) or selection.ignored.may_have_others_below(wanted):
            found[Match(wanted, kept)] = None
        else:
            raise _missing(path)
    if not found:
        raise _missing(selection.paths[0])
    return list(found)


class SelectedMembers:
    """The members of the `matches` of a selection, to be gone through once."""

    def __init__(self, root: int, selection: Selection, found: list[Match]) -> None:
        self._root = root
        self._selection = selection
        self.matches = found
        self._names: dict[tuple[int, int], bytes] = {}  # device and inode -> the first name of a file with several
        self._descriptor = -1
        self._size = 0

    def __iter__(self) -> Iterator[Member]:
        """Yield the members; each folder before what it holds."""
        written: set[bytes] = set()
        for number, match in enumerate(self.matches):
            for file in self._walk(match, is_first=number == 0):
                if stat.S_ISDIR(file.status.st_mode) and file.name in written:
                    continue  # the folder above several sources
                member = self._member(file)
                if member is not None:
                    written.add(file.name)
                    yield member
        self._close()

    def content(self) -> Iterator[memoryview]:
        """Yield the bytes of the current member."""
        if self._descriptor >= 0:
            for block in file_content(self._descriptor, self._size):
                yield memoryview(block)
        self._close()

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _member(self, file: _File) -> Member | None:
        """Return a file's member, and keep the file open; None for a socket."""
        self._close()
        kind = tar.kind_of(file.status.st_mode)
        key = (file.status.st_dev, file.status.st_ino)
        if kind is None:
            return None
        if kind == tar.REGULAR and key in self._names:
            return member_of(file.name, tar.HARD_LINK, file.status, {})._replace(link=self._names[key], size=0)
        if kind == tar.SYMLINK:
            return member_of(file.name, kind, file.status, {})._replace(link=os.readlink(file.base, dir_fd=file.folder))
        if kind not in (tar.REGULAR, tar.DIRECTORY):
            device = (0, 0) if kind == tar.FIFO else (os.major(file.status.st_rdev), os.minor(file.status.st_rdev))
            return member_of(file.name, kind, file.status, {})._replace(device=device)
        try:
            descriptor = os.open(file.base, _OPEN, dir_fd=file.folder)
        except PermissionError as error:
            raise OSError(error.errno, error.strerror, os.fsdecode(file.name or file.base)) from None
        try:
            xattrs = copied_xattrs(descriptor)
            status = os.fstat(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        if kind == tar.DIRECTORY:
            os.close(descriptor)
            return member_of(file.name or b".", kind, status, xattrs)
        self._descriptor, self._size = descriptor, status.st_size
        if status.st_nlink > 1:
            self._names[key] = file.name
        return member_of(file.name, kind, status, xattrs)

    def _walk(self, match: Match, *, is_first: bool) -> Iterator[_File]:
        found = find(Place(self._root, f"/{match.path}", f"/{match.path}"), follow=not self._selection.parents)
        if found is None:
            raise _missing(match.path)
        try:
            yield from self._walk_found(match, found, is_first=is_first)
        finally:
            os.close(found.folder)

    def _walk_found(self, match: Match, found: Found, *, is_first: bool) -> Iterator[_File]:
        ignored, excluded = self._selection.ignored, self._selection.excluded
        real = _path_below(self._root, found) or match.path
        prefix = match.path[match.kept :] if self._selection.parents and match.path != "." else ""
        is_folder = stat.S_ISDIR(found.status.st_mode)
        if real != "." and ignored.has(real) and not (is_folder and ignored.may_have_others_below(real)):
            raise _missing(match.path)
        if not is_folder:
            name = prefix or posixpath.basename(match.path)
            if not excluded.has(name):
                yield from self._above(match)
                yield from _single(found, os.fsencode(name))
            return
        yield from self._above(match)
        start = os.open(found.name or ".", _OPEN | os.O_DIRECTORY, dir_fd=found.folder)
        try:
            if prefix or is_first:
                yield _File(os.fsencode(prefix), start, b".", os.fstat(start))
            yield from _below(start, os.fsencode(prefix), _Shown(self._selection, "" if real == "." else real, prefix))
        finally:
            os.close(start)

    def _above(self, match: Match) -> Iterator[_File]:
        """Yield the folders above a match that a copy with `parents` keeps."""
        if not self._selection.parents:
            return
        start = max(match.kept, 0)
        for at, letter in enumerate(match.path):
            if letter == "/" and at >= start:
                folder = Place(self._root, "", "").open(f"/{match.path[:at]}", os.O_RDONLY | os.O_DIRECTORY)
                try:
                    yield _File(os.fsencode(match.path[start:at]), folder, b".", os.fstat(folder))
                finally:
                    os.close(folder)


class _Shown:
    """Which files below one source are taken; `top` is where it is below the root, `prefix` what their names begin with."""

    def __init__(self, selection: Selection, top: str, prefix: str) -> None:
        self._ignored = selection.ignored
        self._excluded = selection.excluded
        self._top = f"{top}/" if top else ""
        self._prefix = f"{prefix}/" if prefix else ""

    def is_left_out(self, path: str) -> bool:
        """Tell whether a file is left out; `path` is below the source."""
        ignored, excluded = self._ignored, self._excluded
        return (bool(ignored) and ignored.has(self._top + path)) or (bool(excluded) and excluded.has(self._prefix + path))

    def has_others_below(self, path: str) -> bool:
        """Tell whether a folder that is left out may hold files that are not."""
        return self._ignored.may_have_others_below(self._top + path) or self._excluded.may_have_others_below(self._prefix + path)


def _single(found: Found, name: bytes) -> Iterator[_File]:
    if found.name:
        yield _File(name, found.folder, os.fsencode(found.name), found.status)
        return
    # A link led to it, and it is open: its name is that of the descriptor.
    folder = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        real = os.fsencode(os.readlink(str(found.folder), dir_fd=folder))
    finally:
        os.close(folder)
    parent = os.open(posixpath.dirname(real), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield _File(name, parent, posixpath.basename(real), found.status)
    finally:
        os.close(parent)


def _below(start: int, prefix: bytes, shown: _Shown) -> Iterator[_File]:
    """Yield what is below the open folder `start`; a folder that is left out comes when something in it does not."""
    pending = [b""]
    waiting: dict[bytes, os.stat_result] = {}
    while pending:
        path = pending.pop()
        try:
            folder = open_beneath(start, path)
        except PermissionError as error:
            raise OSError(error.errno, error.strerror, os.fsdecode(_joined(prefix, path))) from None
        try:
            with os.scandir(folder) as entries:
                names = sorted(os.fsencode(entry.name) for entry in entries)
            subfolders = []
            for name in names:
                inner = path + b"/" + name if path else name
                try:
                    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
                except FileNotFoundError:  # somebody has just removed it
                    continue
                is_folder = stat.S_ISDIR(status.st_mode)
                left_out = shown.is_left_out(os.fsdecode(inner))
                if is_folder and (not left_out or shown.has_others_below(os.fsdecode(inner))):
                    subfolders.append(inner)
                if left_out:
                    if is_folder:
                        waiting[inner] = status
                    continue
                yield from _waiting_above(start, prefix, inner, waiting)
                yield _File(_joined(prefix, inner), folder, name, status)
            pending += reversed(subfolders)
        finally:
            os.close(folder)


def _waiting_above(start: int, prefix: bytes, path: bytes, waiting: dict[bytes, os.stat_result]) -> Iterator[_File]:
    """Yield the folders above a file that were left out so far."""
    if not waiting:
        return
    for at, letter in enumerate(path):
        above = path[:at]
        if letter == ord("/") and above in waiting:
            status = waiting.pop(above)
            folder = open_beneath(start, above)
            try:
                yield _File(_joined(prefix, above), folder, b".", status)
            finally:
                os.close(folder)


def _joined(prefix: bytes, path: bytes) -> bytes:
    return prefix + b"/" + path if prefix else path


def _path_below(root: int, found: Found) -> str:
    """Return the path of what was found below the root, links resolved; "" where that cannot be told."""
    top = os.readlink(f"/proc/self/fd/{root}")
    folder = os.readlink(f"/proc/self/fd/{found.folder}")
    path = posixpath.normpath(posixpath.join(folder, found.name)) if found.name else folder
    if path == top:
        return "."
    return path.removeprefix(top.rstrip("/") + "/") if path.startswith(top.rstrip("/") + "/") else ""


def _matching(root: int, parts: list[str], selection: Selection, *, spans: bool) -> Iterator[str]:
    """Yield the paths that a pattern matches, one component after the other, sorted."""
    if spans:
        whole = compiled("/".join(parts), spans=True)
        yield from (path for path in _all_paths(root, selection) if whole.fullmatch(path))
        return
    found = [""]
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        found = [one for path in found for one in _next(root, path, part, selection, is_last=is_last)]
    ignored = selection.ignored
    yield from (one for one in found if not ignored.has(one) or (_is_folder(root, one) and ignored.may_have_others_below(one)))


def _next(root: int, path: str, part: str, selection: Selection, *, is_last: bool) -> Iterable[str]:
    """Return the paths one component longer that match."""
    if not has_wildcards(part):
        names: Iterable[str] = [part]
    else:
        match = compiled(part).fullmatch
        names = [name for name in _names_in(root, path) if match(name)]
    longer = [f"{path}/{name}".lstrip("/") for name in names]
    return longer if is_last and has_wildcards(part) else [one for one in longer if _is_there(root, one, selection)]


def _names_in(root: int, path: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        folder = Place(root, "", "").open(f"/{path}", os.O_RDONLY | os.O_DIRECTORY)
        try:
            return sorted(os.listdir(folder))
        finally:
            os.close(folder)
    return []


def _is_there(root: int, path: str, selection: Selection) -> bool:
    found = find(Place(root, f"/{path}", path), follow=False)
    if found is None:
        return False
    os.close(found.folder)
    return not selection.ignored.has(path) or selection.ignored.may_have_others_below(path)


def _is_folder(root: int, path: str) -> bool:
    try:
        os.close(Place(root, "", "").open(f"/{path}", os.O_PATH | os.O_DIRECTORY))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _all_paths(root: int, selection: Selection) -> Iterator[str]:
    for file in _below(root, b"", _Shown(selection._replace(excluded=NOTHING), "", "")):
        yield os.fsdecode(file.name)


def _cleaned(path: str) -> str:
    return posixpath.normpath(f"/{path}").lstrip("/") or "."


def _missing(path: str) -> NoSuchObject:
    text = f'failed to compute cache key: failed to calculate checksum of ref: "/{path.lstrip("/"):.500}": not found'
    return NoSuchObject(text, "it must be there, and not left out by .dockerignore")
