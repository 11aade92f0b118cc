"""Keeping the file of our own interpreter out of a container's hands (CVE-2019-5736).

The process that executes a container's command is still our interpreter a moment before. A command, or the `#!` of a script, that
leads to /proc/self/exe therefore executes the node's python with the image's libraries, and that process may open its own
/proc/self/exe: the file on the node. Where Python belongs to the system that ends there, for no ID of the container may write to
that file. Where it is the user's own (pyenv, conda, uv, a build below the home), the container's root owns it: it could make it
set-user-ID, or overwrite it. Then `rl` executes itself once more from a copy in memory that nobody can change (memfd_create(2),
with seals). That costs the start of an interpreter and the copy, so it is done only there.
"""

import fcntl
import os
import stat
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from rootless.errors import NodeLacks, RlError
from rootless.namespaces.idmap import IdMaps, MapLine, default_maps

_EXE: Final = "/proc/self/exe"
_COPY_NAME: Final = "rl-python"
_MFD_EXEC: Final = 0x10  # Linux 6.3; before, every memfd is executable
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
_BLOCK: Final = 1 << 30


def is_sealed() -> bool:
    """Tell whether this process was executed from the copy; its own /proc must be the node's."""
    return os.readlink(_EXE).startswith(f"/memfd:{_COPY_NAME}")


def is_exposed(uid: int, maps: IdMaps | None) -> bool:
    """Tell whether processes of a container could change the interpreter's file.

    `maps` are those of the user's parent namespace, or of the container's own, as seen from here; None: the container is in our
    own user namespace, and its root can do what we can. `uid` is who we are.
    """
    if maps is None:
        return os.access(_EXE, os.W_OK) and not is_sealed()
    status = os.stat(_EXE)
    by_owner = _is_in(status.st_uid, maps.uids)
    by_mode = status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and _is_in(status.st_gid, maps.gids))
    # An ACL may let us write, too. Root may write to everything, and the root of its containers may not.
    by_access = uid != 0 and os.access(_EXE, os.W_OK)
    return bool(by_owner or by_mode or by_access) and not is_sealed()


def _is_in(number: int, lines: Sequence[MapLine]) -> bool:
    return any(line.outside <= number < line.outside + line.length for line in lines)


def engine_maps() -> IdMaps:
    """Return the maps of the parent namespace, of which every container of the engine's own is a child."""
    return default_maps(os.geteuid(), os.getegid()).maps


def protect(maps: IdMaps | None) -> None:
    """Return when this process may put processes into containers with these maps; else execute this command anew, so that it may.

    Raises `NodeLacks` where that cannot be. Called before anything is made or held.
    """
    if is_exposed(os.geteuid(), maps):
        _execute_sealed()


def check_protected(maps: IdMaps | None) -> None:
    """Raise `RlError` where `protect` should have been called and was not: by a program that uses `rootless` as a library."""
    if is_exposed(os.geteuid(), maps):
        raise RlError(
            f"containers could change the Python interpreter {os.readlink(_EXE)}",
            "call rootless.runtime.interpreter.protect first, or use a Python that is not your own",
        )


def _execute_sealed() -> NoReturn:
    try:
        copy = _sealed_copy()
        os.execve(f"/proc/self/fd/{copy}", [sys.executable, *sys.orig_argv[1:]], os.environ)
    except OSError as error:
        raise NodeLacks(
            f"cannot protect the Python interpreter {os.readlink(_EXE)} from containers: {error.strerror}",
            "use a Python that is not your own, such as the system's, or have the sysctl vm.memfd_noexec set to 0",
        ) from None


def _sealed_copy() -> int:
    """Return a descriptor of a copy of the interpreter that can be executed and not be changed."""
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        copy = os.memfd_create(_COPY_NAME, flags | _MFD_EXEC)
    except OSError:  # EINVAL: an older kernel; anything else it says again
        copy = os.memfd_create(_COPY_NAME, flags)
    source = os.open(_EXE, os.O_RDONLY | os.O_CLOEXEC)
    while os.sendfile(copy, source, None, _BLOCK):
        pass
    os.close(source)
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
    return copy
