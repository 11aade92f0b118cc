"""Commands of the user's inside the parent namespace (`rl unshare`).

The command is root of the parent namespace, so that it owns the files of subordinate IDs, and has a mount namespace of its own, so
that what it mounts is seen by itself and its children only, and goes with them. The environment tells `rl` in it that it is there.
"""

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from rootless.errors import CannotInvoke, CommandNotFound
from rootless.linux import mounts, namespaces
from rootless.linux.process import identify
from rootless.locations import Locations
from rootless.namespaces.parent import add_member, fork_into_parent, remove_member

_MARK: Final = "RL_UNSHARED"  # the namespaces; a program may go on to others and keep its environment
_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def is_inside(environ: Mapping[str, str]) -> bool:
    """Tell whether this process is one that `rl unshare` started, or a child of such."""
    return environ.get(_MARK) == _own_namespaces()


def run_inside(locations: Locations, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run a command as root of the parent namespace on our standard streams; returns its exit status, 128+N after a signal.

    Raises `CommandNotFound` and `CannotInvoke` for the command, `NodeLacks` where there are no user namespaces. The caller
    is single-threaded.
    """
    path = _find(arguments[0], environ)
    if is_inside(environ):
        _execute(path, arguments, environ)

    def body() -> None:
        namespaces.unshare(namespaces.NEWNS)
        mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE)
        # Inside, the user ID is 0, and would lead to another data root.
        own = {"RL_ROOT": locations.data_root, "RL_RUNROOT": locations.runtime_dir, _MARK: _own_namespaces()}
        _execute(path, arguments, {**environ, **own})

    child = fork_into_parent(locations.runtime_dir, body)
    process = identify(child)
    add_member(locations.runtime_dir, process)
    try:
        return _wait(child)
    finally:
        remove_member(locations.runtime_dir, process)


def _wait(child: int) -> int:
    """Wait for our child. What the terminal sends (Ctrl-C) comes to it, too; what is sent to us is passed on."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    for number in _PASSED_ON:
        signal.signal(number, lambda received, _frame: os.kill(child, received))  # not reaped yet: the PID is its own
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return 128 - code if code < 0 else code


def _find(name: str, environ: Mapping[str, str]) -> str:
    path = shutil.which(name, path=environ.get("PATH", os.defpath))
    if path is not None:
        return path
    if os.path.exists(name) and "/" in name:
        raise CannotInvoke(f"cannot execute {name}: permission denied or a folder", "check its mode")
    raise CommandNotFound(f"{name}: command not found", "give a program on the PATH, or a path with a slash")


def _execute(path: str, arguments: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ignored by Python, and so it would be by the command
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execve(path, list(arguments), dict(environ))
    except OSError as error:
        os.write(2, f"rl: cannot execute {path}: {error.strerror}\n".encode())
        os._exit(CommandNotFound.exit_status if isinstance(error, FileNotFoundError) else CannotInvoke.exit_status)


def _own_namespaces() -> str:
    return " ".join(os.readlink(f"/proc/self/ns/{name}") for name in ("user", "mnt"))
