"""Where COPY and ADD put files: the folder below a container's root, made where it is missing, and the names there.

As BuildKit: a destination that ends with `/`, exists as a folder, or is given several files or a folder, is a folder; else it is
the file's new name. Links on the way are followed below the root. Folders that are made get the owner of `--chown`.
"""

import itertools
import os
import posixpath
from collections.abc import Iterator
from typing import Final

from rootless.containers.copying.extraction import Members, Owner, extract_members
from rootless.containers.copying.places import Place, find
from rootless.errors import InvalidInput
from rootless.images import tar
from rootless.images.tar import Member
from rootless.images.tree import normalised
from rootless.linux.openat2 import open_in_root
from rootless.runtime.mount_points import make_folder

_ARCHIVED: Final = Owner(archive=True)
_MAX_LINKS: Final = 40


class Peeked:
    """Members whose first has been looked at."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._rest = iter(members)
        self.first: Member | None = next(self._rest, None)

    def __iter__(self) -> Iterator[Member]:
        """Yield the members in order."""
        return itertools.chain(() if self.first is None else (self.first,), self._rest)

    def content(self) -> Iterator[memoryview]:
        """Yield the bytes of the current member."""
        return self._members.content()


def put_members(root: int, target: str, members: Members, owner: tuple[int, int], *, is_single: bool) -> None:
    """Write members below `target`, an absolute path that ends with `/` where it can only be a folder's.

    `is_single`: they are one file or folder. `owner` is that of folders that are made.
    """
    peeked = Peeked(members)
    if peeked.first is None:
        return
    is_file = is_single and peeked.first.kind != tar.DIRECTORY
    if is_file and not target.endswith("/"):
        real = _resolved(root, target)
        if not _is_folder(root, real):
            folder, _, name = real.rpartition("/")
            make_folders_for(root, folder, owner)
            new = os.fsencode(name)
            extract_members(Place(root, folder or "/", target), peeked, _ARCHIVED, path_of=lambda _name: new)
            return
    made = make_folders_for(root, target, owner)
    # A folder that was there keeps its attributes; one that is made gets those of the first that is copied into it.
    with_top = made and peeked.first.kind == tar.DIRECTORY and not normalised(peeked.first.name)
    extract_members(Place(root, target.rstrip("/") or "/", target), peeked, _ARCHIVED, with_top=with_top)


def put_archive(root: int, target: str, members: Members, owner: tuple[int, int]) -> None:
    """Unpack a tar's members into the folder `target`. Raises `CorruptImage`, `InvalidInput`, `OSError`."""
    make_folders_for(root, target, owner)
    extract_members(Place(root, target.rstrip("/") or "/", target), members, _ARCHIVED)


def make_folders_for(root: int, path: str, owner: tuple[int, int]) -> bool:
    """Make a folder with those above it, and give what was made to `owner`; tells whether it was missing."""
    made = False
    parts = path.strip("/").split("/") if path.strip("/") else []
    for number in range(1, len(parts) + 1):
        prefix = "/" + "/".join(parts[:number])
        made = not _is_folder(root, prefix)
        if not made:
            continue
        try:
            make_folder(root, prefix)
            descriptor = open_in_root(root, prefix, os.O_RDONLY | os.O_DIRECTORY)
        except (NotADirectoryError, FileExistsError):
            raise InvalidInput(f"cannot make the folder {path}: {prefix} is not a folder", "choose another destination") from None
        try:
            if owner != (0, 0):
                os.chown(descriptor, *owner)
        finally:
            os.close(descriptor)
    return made


def _is_folder(root: int, path: str) -> bool:
    try:
        os.close(open_in_root(root, path or "/", os.O_PATH | os.O_DIRECTORY))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _resolved(root: int, path: str) -> str:
    """Return where a path leads when it is a link; the folders above it stay as they are."""
    for _link in range(_MAX_LINKS):
        found = find(Place(root, path, path), follow=False)
        if found is None:
            return path
        try:
            link = os.readlink(found.name, dir_fd=found.folder)
        except OSError:  # EINVAL: it is no link
            return path
        finally:
            os.close(found.folder)
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
        path = "/" + path.lstrip("/").removeprefix("../")
    raise InvalidInput(f"too many symbolic links: {path}", "choose another destination")
