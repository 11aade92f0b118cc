"""The server process: `python -I -m fuse_overlay CONTROL_FD`, started in the parent namespace before the mount exists.

What it needs is imported first, then it waits for `mount`: so the interpreter's start overlaps with the making of the container.
"""

import gc
import os
import resource
import sys
from collections.abc import Callable
from typing import Any, Final

from fuse_overlay.control import Control, ControlSocket
from fuse_overlay.layer import Folder, OpenFolders
from fuse_overlay.operations import OverlayOperations
from fuse_overlay.session import serve
from fuse_overlay.standins import pyfuse3
from fuse_overlay.union import Ownership, Union, directory_layer

_FOLDERS: Final = 3  # /dev/fuse, upper, work: before the layers
_MAX_OPEN_FOLDERS: Final = 4096
_NEW_OBJECTS: Final = 50_000  # between two searches for cycles, of which we make hardly any: at 700 they take a tenth of our time


OpenLayer = Callable[[int, OpenFolders, bool], Folder]
"""Returns the root of the lower layer that a descriptor is open on; the last argument tells whether it has the flat form."""


def main(control: int, open_layer: OpenLayer = directory_layer) -> None:
    """Serve one mount, asked for on the socket `control`, and end without the interpreter's clean-up."""
    status = 1
    try:
        _run(ControlSocket(control), open_layer)
        status = 0
    except Exception:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _run(control: ControlSocket, open_layer: OpenLayer) -> None:
    os.umask(0)
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
    mounted = _wait_for_mount(control, open_layer)
    if mounted is None:
        return
    fuse, union = mounted
    requests = Control(control, lambda: pyfuse3.syncfs(os.fsdecode(union.upper.path(b"."))))
    serve(fuse, control.descriptor, requests.handle, union.open_folders.trim)


def _wait_for_mount(control: ControlSocket, open_layer: OpenLayer) -> tuple[int, Union] | None:
    """Take the mount over that the first good request names; None when the monitor has gone."""
    while True:
        try:
            request = control.receive()
        except ValueError as error:
            control.answer(error)
            continue
        if request is None:
            return None
        fields, descriptors = request
        try:
            if fields.get("op") == "stop":
                control.answer()
                return None
            mounted = _mount(fields, descriptors, open_layer)
        except (OSError, RuntimeError, ValueError) as error:
            for descriptor in descriptors:
                os.close(descriptor)
            control.answer(error)
        else:
            control.answer()
            return mounted


def _mount(fields: dict[str, Any], descriptors: list[int], open_layer: OpenLayer) -> tuple[int, Union]:
    if fields.get("op") != "mount" or len(descriptors) != _FOLDERS + fields.get("lowers", 0):
        raise ValueError(f"not a request to mount: {fields.get('op')} with {len(descriptors)} descriptors")
    fuse, upper, work, *lowers = descriptors
    flat = fields.get("flat") or {}
    ownership = Ownership(fields.get("user", _only_id("uid")), fields.get("group", _only_id("gid")), bool(flat.get("upper")))
    folders = OpenFolders(_open_folders())
    flat_lowers = flat.get("lowers") or ()
    layers = [open_layer(descriptor, folders, index in flat_lowers) for index, descriptor in enumerate(lowers)]
    union = Union(upper, work, layers, ownership, folders)
    pyfuse3.init(OverlayOperations(union), f"/dev/fd/{fuse}", set())
    return fuse, union


def _only_id(kind: str) -> int | None:
    """Return the only ID of our user namespace, and so of all below it, if there is but one."""
    with open(f"/proc/self/{kind}_map", "rb") as file:
        lines = file.read().split(b"\n")[:-1]
    first, _outside, count = map(int, lines[0].split())
    return first if len(lines) == 1 and count == 1 else None


def _open_folders() -> int:
    """Allow as many descriptors as we may have, and folders a quarter of them: every file that the container opens needs one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(hard // 4, _MAX_OPEN_FOLDERS)


if __name__ == "__main__":
    main(int(sys.argv[1]))
