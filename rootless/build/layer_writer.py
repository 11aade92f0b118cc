"""The layer of COPY, ADD and WORKDIR, written as a tar upon the layers below without mounting them.

The destination is looked up in the union of the layers' trees, links followed below its root. The tar has every folder above what
is written, those that are there as they are, so that it means the same upon any layers. Runs in the parent namespace, where files
of all owners can be read.
"""

import contextlib
import os
import stat
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from isal import isal_zlib

from rootless.containers.copying.extraction import Members
from rootless.errors import InvalidInput
from rootless.images import tar, tar_writer
from rootless.images.output_file import write_all
from rootless.images.tar import Member
from rootless.images.tree import normalised, shown
from rootless.runtime.users import MAX_FILE, resolve
from rootless.storage.merged_tree import MergedTree
from rootless.storage.node_tar import NodeTar

_LEVEL: Final = 1  # of compression, as layers of commit have it
_GZIP: Final = 31  # zlib.h, deflateInit2: a gzip header, the largest window
_MAX_LINKS: Final = 40
_WHITEOUT: Final = b".wh."
_ACCOUNTS: Final = ("passwd", "group")


class _Place(NamedTuple):
    """Where a path leads: its components, and the layers that have that folder; None where there is none."""

    path: tuple[bytes, ...]
    layers: list[int] | None
    is_file: bool = False


class LayerWriter:
    """Writes one layer upon `trees` (topmost first) to the file `output`. To be used as a context manager."""

    def __init__(self, trees: Sequence[str], output: int) -> None:
        self._tree = MergedTree(list(trees))
        self._compressor = isal_zlib.compressobj(_LEVEL, wbits=_GZIP)
        self._output = output
        self._archive = NodeTar(self._tree, lambda data: write_all(output, self._compressor.compress(data)))
        self._written: set[tuple[bytes, ...]] = set()  # folders
        self._children: dict[tuple[bytes, ...], dict[bytes, list[int] | None]] = {}  # of folders below: layers, None for a file

    def __enter__(self) -> "LayerWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._tree.__exit__()

    def finish(self) -> bool:
        """Write the end; tells whether there is anything in the layer."""
        self._archive.finish()
        write_all(self._output, self._compressor.flush())
        return bool(self._written)

    def owner(self, text: str) -> tuple[int, int]:
        """Return UID and GID of USER[:GROUP]; without a group the GID is the UID, as Docker has it. Raises `InvalidInput`."""
        user, separator, group = text.partition(":")
        if user.isdecimal() and (group.isdecimal() or not separator) and len(text) < 20:
            return int(user), int(group or user)
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(f"{folder}/etc")
            for name in _ACCOUNTS:
                with open(f"{folder}/etc/{name}", "wb") as file:
                    file.write(self._read(f"/etc/{name}"))
            root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                found = resolve(root, text)
            finally:
                os.close(root)
        return found.uid, found.gid if separator else found.uid

    def make_folder(self, path: str) -> None:
        """Make a folder with those above it, where it is missing; root's. Raises `InvalidInput`."""
        place = self._look_up(path)
        if place.layers is None:
            self._enter(place, path, (0, 0))

    def put(self, target: str, members: Members, owner: tuple[int, int], *, is_single: bool) -> None:
        """Write members below `target`; as `destination.put_members`."""
        wanted = iter(members)
        first = next(wanted, None)
        if first is None:
            return
        place = self._look_up(target)
        rename: Callable[[bytes], bytes] = normalised
        if is_single and first.kind != tar.DIRECTORY and not target.endswith("/") and place.layers is None:
            *folder, name = place.path
            rename = lambda _name: name  # noqa: E731 - one name for the one file
            place = self._look_up("/" + os.fsdecode(b"/".join(folder)))
        elif place.is_file:
            raise InvalidInput(f"cannot copy to non-directory: {target}", "choose another destination")
        is_new = place.layers is None
        top = normalised(first.name) if first.kind == tar.DIRECTORY else b"."
        self._enter(place, target, owner, first if is_new and not top else None)
        member: Member | None = first
        while member is not None:
            path = rename(member.name)
            if path:
                self._member((*place.path, *path.split(b"/")), member, members)
            member = next(wanted, None)

    def _enter(self, place: _Place, target: str, owner: tuple[int, int], like: Member | None = None) -> None:
        """Write the folders down to a place; one that is made at the end may be `like` a member."""
        if place.is_file:
            raise InvalidInput(f"cannot make the folder {target}: something that is no folder is there", "choose another one")
        self._add_existing(place.path)
        for number in range(1, len(place.path) + 1):
            path = place.path[:number]
            if path in self._written:
                continue
            name = b"/".join(path)
            new = tar_writer.folder(os.fsdecode(name))._replace(uid=owner[0], gid=owner[1], mtime=_now())
            if like is not None and number == len(place.path):
                new = like._replace(name=name + b"/")
            self._archive.add_member(new)
            self._written.add(path)

    def _add_existing(self, path: tuple[bytes, ...]) -> None:
        """Write those folders of a path that are there."""
        if () not in self._written:
            self._archive.add(next(self._tree.walk()))
            self._written.add(())
        layers: list[int] | None = list(range(self._tree.depth))
        for number, name in enumerate(path):
            assert layers is not None
            with contextlib.ExitStack() as stack:
                _files, subfolders = self._tree.entries(b"/".join(path[:number]), layers, stack)
                found = next((one for one in subfolders if one.node.name == name), None)
                if found is None:
                    return
                layers = found.layers
                if path[: number + 1] not in self._written:
                    self._archive.add(found.node)
                    self._written.add(path[: number + 1])

    def _member(self, path: tuple[bytes, ...], member: Member, members: Members) -> None:
        """Write one member at a path, where nothing of another kind may be."""
        name = b"/".join(path)
        if path[-1].startswith(_WHITEOUT):
            text = f"the file {shown(name)!r} cannot be in a layer: names with .wh. stand for what is deleted"
            raise InvalidInput(text, "rename it")
        is_folder = member.kind == tar.DIRECTORY
        below = self._children_of(path[:-1])
        if path[-1] in below and (below[path[-1]] is None) == is_folder:
            what = ("a file", "a folder") if is_folder else ("a folder", "a file")
            raise InvalidInput(f"cannot overwrite {what[0]} with {what[1]}: /{shown(name)}", "remove it first")
        link = member.link
        if member.kind == tar.HARD_LINK:
            top = path[: len(path) - len(normalised(member.name).split(b"/"))]
            link = b"/".join((*top, normalised(link)))
        self._archive.add_member(member._replace(name=name + b"/" if is_folder else name, link=link), members.content())
        if is_folder:
            self._written.add(path)

    def _children_of(self, path: tuple[bytes, ...]) -> dict[bytes, list[int] | None]:
        """Return what the layers have in a folder that members are written to."""
        known = self._children.get(path)
        if known is None:
            layers = self._children_of(path[:-1]).get(path[-1]) if path else list(range(self._tree.depth))
            known = {} if layers is None else self._list(path, layers)
            self._children[path] = known
        return known

    def _list(self, path: tuple[bytes, ...], layers: list[int]) -> dict[bytes, list[int] | None]:
        with contextlib.ExitStack() as stack:
            files, subfolders = self._tree.entries(b"/".join(path), layers, stack)
            return {**{node.name: None for node in files}, **{one.node.name: one.layers for one in subfolders}}

    def _look_up(self, path: str) -> _Place:
        """Return where a path leads, all links followed."""
        ahead = [part for part in reversed(os.fsencode(path).split(b"/")) if part not in (b"", b".")]
        walked: list[bytes] = []
        states: list[list[int] | None] = [list(range(self._tree.depth))]
        links = 0
        while ahead:
            name = ahead.pop()
            if name == b"..":
                walked, states = walked[:-1], states[:-1] or states[:1]
                continue
            link, layers, is_file = self._step(walked, states[-1], name)
            if link is None:
                if is_file:
                    if ahead:
                        raise InvalidInput(f"cannot use the path {path}: /{shown(b'/'.join([*walked, name]))} is not a folder")
                    return _Place((*walked, name), None, is_file=True)
                walked, states = [*walked, name], [*states, layers]
                continue
            links += 1
            if links > _MAX_LINKS:
                raise InvalidInput(f"too many symbolic links: {path}", "choose another destination")
            if link.startswith(b"/"):
                walked, states = [], states[:1]
            ahead += [part for part in reversed(link.split(b"/")) if part not in (b"", b".")]
        return _Place(tuple(walked), states[-1])

    def _step(
        self, walked: Sequence[bytes], layers: list[int] | None, name: bytes
    ) -> tuple[bytes | None, list[int] | None, bool]:
        """Return the target of the link that is there, or the layers that have a folder there, and whether it is a file."""
        if layers is None:
            return None, None, False
        with contextlib.ExitStack() as stack:
            files, subfolders = self._tree.entries(b"/".join(walked), layers, stack)
            for one in subfolders:
                if one.node.name == name:
                    return None, one.layers, False
            for node in files:
                if node.name == name:
                    is_link = stat.S_ISLNK(node.status.st_mode)
                    return (os.readlink(name, dir_fd=node.folder) if is_link else None), None, not is_link
        return None, None, False

    def _read(self, path: str) -> bytes:
        """Return what a file of the layers holds, cut to what is read of accounts; nothing where there is none."""
        place = self._look_up(path)
        if not place.is_file:
            return b""
        *folder, name = place.path
        above = self._look_up("/" + os.fsdecode(b"/".join(folder)))
        with contextlib.ExitStack() as stack:
            files, _subfolders = self._tree.entries(b"/".join(folder), above.layers or [], stack)
            for node in files:
                if node.name == name and stat.S_ISREG(node.status.st_mode):
                    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                    with open(os.open(name, flags, dir_fd=node.folder), "rb") as file:
                        return file.read(MAX_FILE + 1)
        return b""


def _now() -> int:
    """Return the time in nanoseconds since 1970, or that of SOURCE_DATE_EPOCH."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return int(epoch) * 10**9 if epoch.isdecimal() else time.time_ns()
