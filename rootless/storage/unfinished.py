"""Folders that are made under another name and renamed when they are whole, and what killed commands leave of them."""

import contextlib
import os
import secrets
import time
from typing import Final

_PREFIX: Final = ".new-"
_AGE: Final = 60.0  # seconds: what is younger may be somebody's who works on it


def make(parent: str) -> str:
    """Make a folder, 0700, under a name that nothing lists, and return its path; `parent` is made where it is missing."""
    os.makedirs(parent, 0o700, exist_ok=True)
    folder = path(parent)
    os.mkdir(folder, 0o700)
    return folder


def path(parent: str) -> str:
    """Return a new path in `parent`: what is renamed to it is removed in the end, by us or by the next who looks."""
    return f"{parent}/{_PREFIX}{secrets.token_hex(8)}"


def discard(folder: str) -> None:
    """Remove a folder of files and empty folders, all of them the user's own."""
    with contextlib.suppress(FileNotFoundError):  # who removes what is left over may have been here
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    os.rmdir(entry.path)
                else:
                    os.unlink(entry.path)
        os.rmdir(folder)


def discard_old(parent: str) -> None:
    """Remove what commands left in `parent` that were killed."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(parent):
            folder = f"{parent}/{name}"
            with contextlib.suppress(FileNotFoundError):
                if name.startswith(_PREFIX) and time.time() - os.stat(folder).st_mtime > _AGE:
                    discard(folder)
