"""Imports pyfuse3 without trio and importlib.metadata, which are 150 ms and 10 MiB of what that import costs.

pyfuse3 uses trio only in its session loop, by looking up its module variable `pyfuse3.trio` anew at each use, so that
`pyfuse3.asyncio` can replace it; `fuse_overlay.session` replaces it likewise. importlib.metadata only tells pyfuse3 its own version
number. While pyfuse3 is imported, `sys.modules` holds empty modules of both names; they are taken away again afterwards, so that
nobody else meets them. Every other file here takes pyfuse3 from this one.
"""

import sys
from types import ModuleType
from typing import NoReturn

__all__ = ["pyfuse3"]


class PackageNotFoundError(ModuleNotFoundError):
    """What importlib.metadata.version raises; pyfuse3 then calls its version unknown."""


def _no_version(name: str) -> NoReturn:
    raise PackageNotFoundError(name)


def _stand_ins() -> dict[str, ModuleType]:
    metadata = ModuleType("importlib.metadata")
    metadata.__dict__.update(PackageNotFoundError=PackageNotFoundError, version=_no_version)
    return {"trio": ModuleType("trio"), "importlib.metadata": metadata}


_absent = {name: module for name, module in _stand_ins().items() if name not in sys.modules}
sys.modules.update(_absent)
try:
    import pyfuse3
finally:
    for _name in _absent:
        del sys.modules[_name]
