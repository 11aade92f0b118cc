"""Giving a tree to another owner (`:U`): by descriptors, so that nobody who works in it can lead us elsewhere."""

import os
from typing import NoReturn

from rootless.errors import NodeLacks


def give_tree(path: str, uid: int, gid: int) -> None:
    """Make `uid` and `gid`, as the caller's user namespace has them, the owner of a file, or of a folder and all below it.

    Symbolic links are not followed. Raises `NodeLacks` for what belongs to a user who is not ours to replace.
    """
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        own = f"/proc/self/fd/{descriptor}"
        if (status.st_uid, status.st_gid) != (uid, gid):
            try:
                os.chown(own, uid, gid)
            except PermissionError:
                raise _refused(path) from None
        if os.path.isdir(own):
            _give_below(own, path, uid, gid)
    finally:
        os.close(descriptor)


def _give_below(top: str, shown: str, uid: int, gid: int) -> None:
    for folder, folders, files, descriptor in os.fwalk(f"{top}/.", onerror=_raise):
        for name in (*folders, *files):
            try:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if (status.st_uid, status.st_gid) != (uid, gid):
                    os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)
            except FileNotFoundError:  # somebody works in it
                continue
            except PermissionError:
                raise _refused(os.path.normpath(f"{shown}/{folder.removeprefix(top)}/{name}")) from None


def _raise(error: OSError) -> NoReturn:
    raise error


def _refused(path: str) -> NodeLacks:
    return NodeLacks(
        f"cannot give {path} to the container's user: it belongs to a user that is not yours",
        "have it given to you first, or leave out the option U",
    )
