"""Folders for the time of a build, for unpacked contexts, downloads and check-outs.

They are below the data root:

    build-scratch/PID-STARTTIME-…      of the process that works in it; when that is dead, the next build removes it
"""

import contextlib
import os
import tempfile
from collections.abc import Iterator

from rootless.images.removal import remove_tree
from rootless.linux.process import ProcessId, identify, is_alive
from rootless.locations import Locations


@contextlib.contextmanager
def folder(locations: Locations) -> Iterator[str]:
    """Yield the path of a new folder, which goes at the end."""
    parent = f"{locations.data_root}/build-scratch"
    os.makedirs(parent, 0o700, exist_ok=True)
    _remove_old(parent)
    own = identify(os.getpid())
    path = tempfile.mkdtemp(prefix=f"{own.pid}-{own.start_time}-", dir=parent)
    try:
        yield path
    finally:
        if os.path.isdir(path):
            remove_tree(path)


def _remove_old(parent: str) -> None:
    for name in os.listdir(parent):
        pid, start_time, *_ = [*name.split("-"), ""]
        if not (pid.isdecimal() and start_time.isdecimal() and is_alive(ProcessId(int(pid), int(start_time)))):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # another build is as fast
                remove_tree(f"{parent}/{name}")
