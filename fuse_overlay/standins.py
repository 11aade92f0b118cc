"""Imports pyfuse3 without trio, importlib.metadata, logging and pickle, which are 160 ms and 10 MiB of what that import costs.

pyfuse3 uses trio only in its session loop, by looking up its module variable `pyfuse3.trio` anew at each use, so that
`pyfuse3.asyncio` can replace it; `fuse_overlay.session` replaces it likewise. importlib.metadata only tells pyfuse3 its own version
number. It logs at each reply to a process that was killed while it waited, which is nobody's concern. Its objects refuse to be
pickled, by an exception of pickle's.

While pyfuse3 is imported, `sys.modules` holds modules of these names that have what it asks for and no more; they are taken away
again afterwards, so that nobody else meets them. Every other file here takes pyfuse3 from this one.
"""

import sys
from types import ModuleType
from typing import Any, NoReturn

__all__ = ["pyfuse3"]


class PackageNotFoundError(ModuleNotFoundError):
    """What importlib.metadata.version raises; pyfuse3 then calls its version unknown."""


class _Silent:
    """A logger whose methods do nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_arguments, **_options: False


def _no_version(name: str) -> NoReturn:
    raise PackageNotFoundError(name)


def _stand_ins() -> dict[str, ModuleType]:
    metadata = ModuleType("importlib.metadata")
    metadata.__dict__.update(PackageNotFoundError=PackageNotFoundError, version=_no_version)
    logging = ModuleType("logging")
    logging.__dict__.update(getLogger=lambda _name: _Silent())
    pickle = ModuleType("pickle")
    pickle.__dict__.update(PicklingError=TypeError)
    return {"trio": ModuleType("trio"), "importlib.metadata": metadata, "logging": logging, "pickle": pickle}


_absent = {name: module for name, module in _stand_ins().items() if name not in sys.modules}
sys.modules.update(_absent)
try:
    import pyfuse3
finally:
    for _name in _absent:
        del sys.modules[_name]
