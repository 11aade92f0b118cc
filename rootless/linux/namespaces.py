"""Namespaces: namespaces(7), unshare(2), setns(2), ioctl_ns(2). Python 3.11 has neither `os.unshare` nor `os.setns`."""

import errno
import fcntl
import os
import time
from collections.abc import Callable
from typing import Final, TypeVar

from rootless.linux import libc
from rootless.linux.process import stat_fields

T = TypeVar("T")
_PATIENCE: Final = 1.0  # seconds; a program that cannot be read stays closed for good

NEWTIME: Final = 0x00000080
NEWNS: Final = 0x00020000
NEWCGROUP: Final = 0x02000000
NEWUTS: Final = 0x04000000
NEWIPC: Final = 0x08000000
NEWUSER: Final = 0x10000000
NEWPID: Final = 0x20000000
NEWNET: Final = 0x40000000

# The name under /proc/PID/ns of each, and in OCI's config.json (runtime-spec, config-linux.md).
PROC_NAMES: Final = {
    NEWUSER: "user",
    NEWNS: "mnt",
    NEWPID: "pid",
    NEWNET: "net",
    NEWIPC: "ipc",
    NEWUTS: "uts",
    NEWCGROUP: "cgroup",
    NEWTIME: "time",
}
OCI_NAMES: Final = {
    "user": NEWUSER,
    "mount": NEWNS,
    "pid": NEWPID,
    "network": NEWNET,
    "ipc": NEWIPC,
    "uts": NEWUTS,
    "cgroup": NEWCGROUP,
    "time": NEWTIME,
}

_NS_GET_USERNS = 0xB701
_NS_GET_PARENT = 0xB702
_NS_GET_OWNER_UID = 0xB704
_NS_GET_MNTNS_ID = 0x8008B705


def unshare(flags: int) -> None:
    """Move the caller into new namespaces; a new PID namespace takes its next child."""
    libc.call("unshare", flags)


def setns(descriptor: int, flags: int) -> None:
    """Join the namespace of `descriptor`, or with a pidfd all namespaces in `flags` of that process (Linux 5.8)."""
    libc.call("setns", descriptor, flags)


def patiently(pid: int, look: Callable[[], T]) -> T:
    """Return what `look` at a process returns; called again for a while when it raises `PermissionError`.

    A container's init is closed to everybody until it executes its command, and its record says a moment before that it runs.
    Raises `ProcessLookupError` for one that has ended, which can be as closed.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return look()
        except PermissionError:
            if stat_fields(pid) is None:
                raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from None
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.002)


def parent_of(user_namespace: int) -> int:
    """Return a descriptor of the parent of a user namespace; the caller closes it. EPERM: outside of the caller's own."""
    return fcntl.ioctl(user_namespace, _NS_GET_PARENT)


def owning_user_namespace(namespace: int) -> int:
    """Return a descriptor of the user namespace that owns a namespace of any kind; the caller closes it. EPERM as `parent_of`."""
    return fcntl.ioctl(namespace, _NS_GET_USERNS)


def mount_namespace_id(namespace: int) -> int | None:
    """Return the number of a mount namespace, which no other ever gets while the node is up; None before Linux 6.11."""
    try:
        return int.from_bytes(fcntl.ioctl(namespace, _NS_GET_MNTNS_ID, bytes(8)), "little")
    except OSError as error:
        if error.errno != errno.ENOTTY:
            raise
        return None


def are_same(namespace: int, path: str) -> bool:
    """Tell whether a descriptor and a link of /proc/PID/ns are of one namespace."""
    there = os.stat(path)
    return (there.st_dev, there.st_ino) == (os.fstat(namespace).st_dev, os.fstat(namespace).st_ino)


def owner_of(user_namespace: int) -> int:
    """Return the UID, as the caller's namespace shows it, that made a user namespace."""
    result = fcntl.ioctl(user_namespace, _NS_GET_OWNER_UID, bytes(4))
    return int.from_bytes(result, "little")


def open_namespace(pid: int, flag: int) -> int:
    """Return a descriptor of a namespace of process `pid`; the caller closes it."""
    return os.open(f"/proc/{pid}/ns/{PROC_NAMES[flag]}", os.O_RDONLY | os.O_CLOEXEC)


def sethostname(name: bytes) -> None:
    """Set the host name of the caller's UTS namespace."""
    libc.call("sethostname", name, len(name))


def setdomainname(name: bytes) -> None:
    """Set the NIS domain name of the caller's UTS namespace."""
    libc.call("setdomainname", name, len(name))
