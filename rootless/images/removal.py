"""Removing trees of any depth: `shutil.rmtree` recurses once a level, and what containers and images hold may be deeper."""

import os
from typing import Final

_DEPTH: Final = 32
_NAMED: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: str | bytes, dir_fd: int | None = None) -> None:
    """Remove a folder and all below it; others may remove it at the same time. Symbolic links are not followed.

    Folders deeper than `_DEPTH` are moved up to the tree's top first, so few descriptors and no deep paths are needed.
    Raises `OSError`, also where `path` is no folder; a missing one is no error.
    """
    try:
        top = os.open(path, _OPEN, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    try:
        while os.listdir(top):
            _empty(top, top, 0)
    finally:
        os.close(top)
    _remove_folder(path, dir_fd)


def _empty(folder: int, top: int, depth: int) -> None:
    """Remove all that is in `folder`, but for folders that have been moved to `top`."""
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        try:
            if not is_folder:
                os.unlink(name, dir_fd=folder)
            elif depth == _DEPTH:
                os.rename(name, os.urandom(16).hex(), src_dir_fd=folder, dst_dir_fd=top)
            else:
                _remove_child(folder, name, top, depth)
        except FileNotFoundError:  # another process removes the same tree
            continue


def _remove_child(parent: int, name: str, top: int, depth: int) -> None:
    try:
        _empty_child(parent, name, top, depth)
    except PermissionError:
        # The server of a network file system knows nothing of what root of a namespace may do: for it the mode is the owner's.
        _open_up(parent, name)
        _empty_child(parent, name, top, depth)
    _remove_folder(name, parent)


def _empty_child(parent: int, name: str, top: int, depth: int) -> None:
    child = os.open(name, _OPEN, dir_fd=parent)
    try:
        _empty(child, top, depth + 1)
    finally:
        os.close(child)


def _open_up(parent: int, name: str) -> None:
    folder = os.open(name, _NAMED, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{folder}", 0o700)
    finally:
        os.close(folder)


def _remove_folder(path: str | bytes, dir_fd: int | None) -> None:
    try:
        os.rmdir(path, dir_fd=dir_fd)
    except FileNotFoundError:  # another process was faster
        return
