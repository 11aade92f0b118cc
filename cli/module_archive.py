"""The modules of frequent verbs, compiled, in one file from which they load faster: a sixth of what `rl run` spends on imports.

The import system looks for each module in several folders, asks for the state of source and bytecode, and reads the latter, all in
Python: 0.1 ms a module, and `rl run` has 170. The archive answers at once. It is made when `rl` is installed (see
`make_module_archive`), lies among this package's bytecode, and is a cache only: without it, and for a module whose source is not as
it was, everything is imported as usual.

    8 bytes      length of the index, little-endian
    index        marshal: (the bytecode's magic number, {name: (source, is a package, its mtime in ns, its size, offset, length)})
    code         marshal, one object after the other; offsets count from here

It is read piece by piece and never kept open: the engine's processes close descriptors that they do not know. A monitor may live
longer than the archive that it began with: it takes from another one nothing.
"""

import marshal
import posix
import sys
from _frozen_importlib import ModuleSpec  # importlib itself takes 0.3 ms
from _frozen_importlib_external import MAGIC_NUMBER

TYPE_CHECKING = False  # typing itself is in the archive
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import CodeType, ModuleType
    from typing import Any

    Entry = tuple[str, bool, int, int, int, int]
    Identity = tuple[int, int]

MAGIC = MAGIC_NUMBER
LENGTH = 8
PATH = f"{__file__.rpartition('/')[0]}/__pycache__/modules.{sys.implementation.cache_tag}.bin"


class Archive:
    """A finder and loader (importlib.abc) over one archive."""

    def __init__(self, path: str, identity: "Identity", index: "Mapping[str, Entry]", start: int) -> None:
        self._path = path
        self._identity = identity
        self._index = index
        self._start = start

    def find_spec(self, name: str, _path: "Any" = None, _target: "Any" = None) -> "Any":
        """Return the spec of a module whose source is as it was; None leaves it to the finders behind."""
        entry = self._index.get(name)
        if entry is None:
            return None
        source, is_package, mtime, size, _offset, _length = entry
        try:
            status = posix.stat(source)
        except OSError:  # gone, or not for us to see
            return None
        if (status.st_mtime_ns, status.st_size) != (mtime, size):
            return None
        spec = ModuleSpec(name, self, origin=source, is_package=is_package)  # type: ignore[arg-type]  # the ABC takes a module more
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(source.rpartition("/")[0])
        return spec

    def create_module(self, _spec: "Any") -> None:
        """Have the import system make the module."""

    def exec_module(self, module: "ModuleType") -> None:
        """Run a module's code in it."""
        exec(self.get_code(module.__name__), vars(module))  # noqa: S102 - what an import is

    def get_code(self, name: str) -> "CodeType":
        """Return a module's code."""
        source, _is_package, _mtime, _size, offset, length = self._index[name]
        try:
            content, identity = read_at(self._path, self._start + offset, length)
        except FileNotFoundError:
            identity = None
        if identity != self._identity:
            return _code_of_source(name, source)
        code: CodeType = marshal.loads(content)  # noqa: S302 - as the bytecode beside it
        return code


def _code_of_source(name: str, source: str) -> "CodeType":
    """Return a module's code as the import system would: the archive was made anew under us, and offsets mean nothing there."""
    from importlib.machinery import SourceFileLoader

    code = SourceFileLoader(name, source).get_code(name)
    assert code is not None  # of a source there always is one
    return code


def open_archive(path: str) -> "Archive | None":
    """Return an archive made by this Python, or None where there is no such, or a damaged one."""
    try:
        head, _identity = read_at(path, 0, LENGTH)
        length = int.from_bytes(head, "little")
        content, identity = read_at(path, LENGTH, length)
        magic, index = marshal.loads(content)  # noqa: S302
    except (OSError, EOFError, ValueError, TypeError):
        return None
    return Archive(path, identity, index, LENGTH + length) if magic == MAGIC else None


def read_at(path: str, offset: int, length: int) -> "tuple[bytes, Identity]":
    """Return a part of a file, and which file that is: one made anew is another one."""
    descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        status = posix.fstat(descriptor)
        return posix.pread(descriptor, min(length, status.st_size), offset), (status.st_ino, status.st_mtime_ns)
    finally:
        posix.close(descriptor)


def use() -> None:
    """Import from the archive from now on, where there is one."""
    archive = open_archive(PATH)
    if archive is not None:
        sys.meta_path.insert(0, archive)
