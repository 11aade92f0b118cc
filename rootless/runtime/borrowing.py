"""Mounts of a running container for another one: detached copies, as descriptors, which any mount namespace takes.

Theory of operation. A mount can be copied only in the mount namespace that has it, so a child goes there and sends the copies:

    S                        B
    fork ------------------> closes the interpreter (not dumpable: a process of the container might see it)
                             setns(pidfd: user, mount)
                             openat2 without links, open_tree
         <------ mounts ---- [a descriptor each], or error

The container may have mounted anything of its own at those paths; it can offer nothing but what it has itself.
"""

import errno
import os
from collections.abc import Sequence
from typing import NoReturn

from rootless.errors import InUse, RlError
from rootless.linux import mounts, namespaces
from rootless.linux.openat2 import open_in_root
from rootless.linux.own_process import close_all_except
from rootless.linux.sockets import packet_pair, socket
from rootless.runtime import channel
from rootless.runtime.isolation import close_interpreter


def borrow_mounts(pidfd: int, paths: Sequence[str], *, enters_user_namespace: bool) -> list[int]:
    """Return descriptors of detached copies of the mounts at `paths` in the container of a process; the caller closes them.

    `enters_user_namespace`: the process is in another one than we are, and we have the power over that. Raises `RlError`.
    """
    ours, theirs = packet_pair()
    pid = os.fork()
    if pid == 0:
        _borrow(pidfd, paths, namespaces.NEWNS | (namespaces.NEWUSER if enters_user_namespace else 0), theirs)
    theirs.close()
    try:
        message = channel.receive(ours)
    finally:
        ours.close()
        os.waitpid(pid, 0)
    if message.event != "mounts":
        raise channel.to_exception(message) if message.event == "error" else RlError("the helper that copies mounts was killed")
    return message.descriptors


def _borrow(pidfd: int, paths: Sequence[str], flags: int, sync: socket) -> NoReturn:
    try:
        close_all_except({0, 1, 2, pidfd, sync.fileno()})
        close_interpreter()
        namespaces.setns(pidfd, flags)
        root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        channel.send(sync, "mounts", [_copy(root, path) for path in paths])
    except ProcessLookupError:
        channel.send_error(sync, InUse("the container has ended"), "")
    except Exception as error:  # also a defect of ours: who waits must learn of it
        channel.send_error(sync, error, "cannot copy the mounts of the container")
    finally:
        os._exit(0)


def _copy(root: int, path: str) -> int:
    place = open_in_root(root, path, os.O_PATH | os.O_NOFOLLOW)
    try:
        return mounts.clone_tree("", recursive=False, directory=place)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise RlError(f"{path} of the container is no mount that can be shared") from None
    finally:
        os.close(place)
