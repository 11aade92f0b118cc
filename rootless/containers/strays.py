"""Ending what a container's init leaves behind where the PID namespace is not the container's own (`--pid`).

In a namespace of its own the kernel ends everything with init. Else orphans go to the first process of the shared namespace, and
only the mount namespace tells whose they are: no process of a container leaves that without CAP_SYS_ADMIN. It is named by a
descriptor, or where nobody holds one any more by the number that the kernel gives to no other (Linux 6.11; before, a monitor that
was killed leaves such orphans).
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Final

from rootless.linux import namespaces
from rootless.linux.process import wait_readable

_PATIENCE: Final = 5.0  # seconds; a process that hangs in the kernel keeps nobody longer


def end_all_in(mount_namespace: int) -> None:
    """End every process in the mount namespace of a descriptor."""
    _end_all(lambda path: namespaces.are_same(mount_namespace, path))


def end_all_in_numbered(number: int) -> None:
    """End every process in the mount namespace with that number."""
    _end_all(lambda path: _number_of(path) == number)


def _number_of(path: str) -> int | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return namespaces.mount_namespace_id(descriptor)
    finally:
        os.close(descriptor)


def _end_all(is_in: Callable[[str], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    # Again until there are none: they may fork while they are being found.
    while (found := _find(is_in)) and time.monotonic() < deadline:
        for pidfd in found:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        for pidfd in found:
            wait_readable(pidfd, max(0.0, deadline - time.monotonic()))
            os.close(pidfd)


def _find(is_in: Callable[[str], bool]) -> list[int]:
    """Return a pidfd of each process whose mount namespace is the one."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            pidfd = os.pidfd_open(int(name))
        except ProcessLookupError:
            continue
        try:
            inside = is_in(f"/proc/{name}/ns/mnt")  # read while the pidfd is open: the number cannot be another process's by now
            signal.pidfd_send_signal(pidfd, 0)
        except (FileNotFoundError, ProcessLookupError, PermissionError):  # it has ended, or is another user's
            inside = False
        if inside:
            found.append(pidfd)
        else:
            os.close(pidfd)
    return found
