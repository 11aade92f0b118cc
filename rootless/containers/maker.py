"""Containers that end with the process that made them: the steps of a build.

While one runs, its monitor watches that process, and kills and removes the container when it has ended; one that does not run is
removed by whoever next reads its record.
"""

import os
from collections.abc import Callable
from typing import Any

from rootless.containers.documents import Document
from rootless.containers.loop import READABLE, Loop
from rootless.linux.process import ProcessId, boot_id, identify, is_alive, open_pidfd


def of_ours() -> dict[str, Any]:
    """Return what a record has of this process."""
    return {"Node": os.uname().nodename, "BootId": boot_id(), "Process": list(identify(os.getpid()))}


def is_gone(document: Document) -> bool:
    """Tell whether the maker was of this node, and has ended."""
    maker = document["Rl"]["EndsWith"]
    if maker["Node"] != os.uname().nodename:
        return False
    return bool(maker["BootId"] != boot_id() or not is_alive(ProcessId(*maker["Process"])))


def watch(loop: Loop, document: Document, end: Callable[[], None]) -> None:
    """Call `end` once the maker has ended; at once where it has."""
    pidfd = open_pidfd(ProcessId(*document["Rl"]["EndsWith"]["Process"]))
    if pidfd is None:
        end()
        return

    def on_end(_events: int) -> None:
        loop.forget(pidfd)
        os.close(pidfd)
        end()

    loop.watch(pidfd, READABLE, on_end)
