"""OCI hooks: programs that a config has run at fixed points of a container's life (config.md, "POSIX-platform Hooks").

    prestart, createRuntime    in `create`, after the mounts, before the change of root; by the starter, in its namespaces
    createContainer            right after these; by init, in the container's namespaces, with the node's root still visible
    startContainer             in `start`, before the command; by init, in the container
    poststart                  in `start`, after the command was executed; by the starter
    poststop                   in `delete`; by whoever deletes

Each gets the container's state on standard input, exactly its own environment, and as much time as it is given. Its output is
kept for the error message. The state is a memory file, not a pipe: a hook that never reads it cannot stop us.
"""

import os
import select
import signal
from collections.abc import Mapping
from typing import Any, Final

from rootless.errors import RlError

IN_RUNTIME: Final = ("prestart", "createRuntime")
IN_CONTAINER: Final = "createContainer"
_SHOWN_OUTPUT: Final = 2000  # bytes


def wants_pause(spec: Mapping[str, Any]) -> bool:
    """Tell whether a config has hooks between the mounts and the change of root."""
    hooks = spec.get("hooks") or {}
    return any(hooks.get(point) for point in (*IN_RUNTIME, IN_CONTAINER))


def run_all(spec: Mapping[str, Any], point: str, state: bytes, environment: Mapping[str, str]) -> None:
    """Run the hooks of one point in order; `environment` is for those that name none.

    Raises `RlError` for the first that cannot be run, fails, or takes too long.
    """
    for number, hook in enumerate((spec.get("hooks") or {}).get(point) or ()):
        _run(f"{point} hook #{number} ({hook['path']})", hook, state, environment)


def _run(name: str, hook: Mapping[str, Any], state: bytes, environment: Mapping[str, str]) -> None:
    given = hook.get("env")
    variables = dict(environment) if given is None else dict(entry.partition("=")[::2] for entry in given)
    stdin, output = os.memfd_create("state"), os.memfd_create("output")
    try:
        os.write(stdin, state)
        os.lseek(stdin, 0, os.SEEK_SET)
        pid = _spawn(name, hook["path"], hook.get("args") or [hook["path"]], variables, (stdin, output, output))
        _wait(name, pid, hook.get("timeout"), output)
    finally:
        os.close(stdin)
        os.close(output)


def _spawn(name: str, path: str, arguments: list[str], variables: Mapping[str, str], streams: tuple[int, int, int]) -> int:
    actions = [(os.POSIX_SPAWN_DUP2, descriptor, stream) for stream, descriptor in enumerate(streams)]
    defaults = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
    try:
        return os.posix_spawn(path, arguments, variables, file_actions=actions, setsigmask=(), setsigdef=defaults)
    except OSError as error:
        raise RlError(f"cannot run the {name}: {error.strerror}") from None


def _wait(name: str, pid: int, timeout: int | None, output: int) -> None:
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        ended = bool(poll.poll(None if timeout is None else timeout * 1000))
        if not ended:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if ended and status == 0:
        return
    reason = f"exited with {status}" if status > 0 else f"ended by signal {-status}"
    if not ended:
        reason = f"took longer than {timeout} s"
    said = os.pread(output, _SHOWN_OUTPUT, 0).decode("utf-8", "replace").strip()
    raise RlError(f"the {name} {reason}" + (f": {said}" if said else ""))
