"""Where `rl` starts, before its verbs' modules are loaded; they are in `cli.program`.

A verb that starts a container first forks a standby for its monitor, which loads on another core what only a monitor needs.
"""

# isort: off
from cli import interrupt  # noqa: F401 - before all that takes long to load
# isort: on

import os
import sys

from cli import module_archive

TYPE_CHECKING = False  # typing is loaded from the archive, and that is not in use yet
if TYPE_CHECKING:
    from rootless.containers.standby import Standby

_STARTING = (["run"], ["container", "run"])


def main(*verbs: str) -> None:
    """Run `rl` and leave by os._exit; `verbs` come before the arguments."""
    module_archive.use()
    _open_standard_streams()
    arguments = [*verbs, *sys.argv[1:]]
    standby = _fork_standby(arguments)
    from cli.program import run  # after that fork

    run(arguments, standby)


def main_oci() -> None:
    """Run `rl oci` as a program of its own, `rl-oci`: other engines name a runtime by one path."""
    main("oci")


def _fork_standby(arguments: list[str]) -> "Standby | None":
    """Fork a monitor that stands by, where a container may be about to start; one that nobody needs ends with us."""
    if not any(arguments[: len(verbs)] == verbs for verbs in _STARTING):
        return None
    from rootless.containers import standby  # for these verbs only

    return standby.fork()


def _open_standard_streams() -> None:
    """Open /dev/null in place of standard streams that are closed, or the next file to be opened would be taken for one."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # EBADF
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # as the interpreter starts with a closed one
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


if __name__ == "__main__":
    main()
