"""Images: references, manifests, the content store, unpacking, pulling and removing (DESIGN section 3).

As a library:

    from rootless.images import Images

    images = Images()                                   # the user's own, as `rl` has them
    image = images.pull("docker.io/library/alpine:3.20")
    print(image.id, image.names, image.size, image.config["config"]["Cmd"])
    images.tag("alpine:3.20", "registry.example.org/mine:1")
    images.push("registry.example.org/mine:1")
    for change in images.diff("mine:1", "alpine:3.20"):
        print(change.kind, change.path)

Errors are those of `rootless.errors`: `str(error)` says what failed on what, `error.hint` what to do. Names are loaded when they
are first used, so that importing this package costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rootless.images.layout import Layout
    from rootless.images.library import Images
    from rootless.images.reference import Reference
    from rootless.images.store import Image, ImageStore

__all__ = ["Images", "Image", "ImageStore", "Layout", "Reference"]

_MODULES = {"Images": "library", "Image": "store", "ImageStore": "store", "Layout": "layout", "Reference": "reference"}


def __getattr__(name: str) -> Any:
    """Import what is asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # only for users of the library

    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
