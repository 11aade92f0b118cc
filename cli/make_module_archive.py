"""Makes the archive of `module_archive` for this installation: `python -I -m cli.make_module_archive`, once `rl` is installed."""

import importlib
import marshal
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Final

from cli import module_archive
from cli.module_archive import LENGTH, MAGIC

if TYPE_CHECKING:
    from cli.module_archive import Entry

# What a verb imports at once comes with it; these are what frequent verbs import when they have come so far.
_VERBS: Final = ("attach", "exec", "images", "inspect", "kill", "logs", "ps", "rm", "run", "start", "stop", "wait")
_LATER: Final = (
    "cli.attachment",
    "rootless.containers.execute",
    "rootless.containers.leftovers",
    "rootless.containers.monitor_process",
    "rootless.containers.standby",
    "rootless.runtime.interpreter",
    "rootless.runtime.join",
    "rootless.storage.fuse",
    "rootless.storage.overlay",
)


def main() -> None:
    """Write the archive where `rl` looks for it."""
    from cli import lean_click  # noqa: F401 - as `rl` does, or click would load what is never needed

    for name in ("cli.program", *(f"cli.commands.{verb}" for verb in _VERBS), *_LATER):
        importlib.import_module(name)
    write(module_archive.PATH, sys.modules.values())


def write(path: str, modules: Iterable[ModuleType]) -> None:
    """Write an archive of those modules that have both a source and bytecode, as they are on disk now."""
    index: dict[str, Entry] = {}
    pieces: list[bytes] = []
    offset = 0
    for name, source, code in _compiled(modules):
        status = os.stat(source)
        is_package = os.path.basename(source) == "__init__.py"
        index[name] = (source, is_package, status.st_mtime_ns, status.st_size, offset, len(code))
        pieces.append(code)
        offset += len(code)
    _replace(path, [*_header(index), *pieces])


def _compiled(modules: Iterable[ModuleType]) -> Iterator[tuple[str, str, bytes]]:
    """Yield name, source file and marshalled code."""
    for module in list(modules):
        spec = getattr(module, "__spec__", None)
        if spec is not None and spec.origin is not None and spec.origin.endswith(".py") and hasattr(spec.loader, "get_code"):
            code = spec.loader.get_code(spec.name)
            if code is not None:
                yield spec.name, spec.origin, marshal.dumps(code)


def _header(index: "dict[str, Entry]") -> Sequence[bytes]:
    content = marshal.dumps((MAGIC, index))
    return len(content).to_bytes(LENGTH, "little"), content


def _replace(path: str, pieces: Sequence[bytes]) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.writelines(pieces)
    os.rename(temporary, path)


if __name__ == "__main__":
    main()
