"""What is done to an OCI container that exists: start, kill, delete, and who is in it (runtime.md, "Operations")."""

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from rootless.errors import InUse, NoSuchObject, RlError
from rootless.linux.process import ProcessId, identify, is_alive, send_signal, wait_for_end
from rootless.linux.sockets import SOCK_SEQPACKET, connect_to
from rootless.runtime import hooks, launch
from rootless.runtime.oci import cgroup
from rootless.runtime.oci.state import SOCKET, Folder, Record, oci_state, status

Warn: TypeAlias = Callable[[str], None]

_KILL_SECONDS: Final = 30.0


def start(folder: Folder, environ: Mapping[str, str], warn: Warn) -> None:
    """Start a created container; returns when its command was executed. Raises `InUse` in any other state.

    A hook that fails before the command ends the container; one that fails after it is only told of, by `warn`, as the
    specification wants it.
    """
    with folder.lock():
        record = folder.read()
        current = status(folder, record)
        if current != "created" or record.init is None:
            raise InUse(f"cannot start container {folder.id}: it is {current}", "only a created container can be started")
        spec = folder.spec()
        sock = connect_to(folder.path, SOCKET, SOCK_SEQPACKET)
        launch.start_at(sock, record.init, state=oci_state(record._replace(annotations={}), current))  # as in `create`
        with contextlib.suppress(FileNotFoundError):  # the folder may go at any time, with delete --force
            os.unlink(f"{folder.path}/{SOCKET}")
        for hook in (spec.get("hooks") or {}).get("poststart") or ():
            state = json.dumps(oci_state(record, "running")).encode()
            try:
                hooks.run_all({"hooks": {"poststart": [hook]}}, "poststart", state, environ)
            except RlError as error:
                warn(error.message)


def kill(folder: Folder, number: int, *, everybody: bool) -> None:
    """Send a signal to a created or running container's init, or with `everybody` to all of its processes. Raises `InUse`."""
    record = folder.read()
    current = status(folder, record)
    if everybody:
        found = [process for process in processes(record) if send_signal(process, number)]
        if found or current == "stopped":
            return
    if current not in ("created", "running") or record.init is None or not send_signal(record.init, number):
        raise InUse(f"cannot kill container {folder.id}: container not running")


def delete(folder: Folder, environ: Mapping[str, str], warn: Warn, *, force: bool) -> None:
    """Remove a stopped container, or one that was never started; with `force` any, and one that does not exist. Raises `InUse`."""
    try:
        record = folder.read()
        current = status(folder, record)
        if current == "running" and not force:
            raise InUse(f"cannot delete container {folder.id}: it is running", "kill it first, or use delete --force")
        if current == "creating" and not force:
            raise InUse(f"cannot delete container {folder.id}: it is being created")
        _end(record)
        with folder.lock():
            spec = folder.spec()
            record = folder.read()
            _end(record)  # its start may have come in between
            if record.cgroup is not None:
                cgroup.remove(record.cgroup)
            folder.remove()
    except NoSuchObject:
        if not force:
            raise
        return
    state = json.dumps(oci_state(record, "stopped")).encode()
    for hook in (spec.get("hooks") or {}).get("poststop") or ():
        try:
            hooks.run_all({"hooks": {"poststop": [hook]}}, "poststop", state, environ)
        except RlError as error:
            warn(error.message)


def _end(record: Record) -> None:
    """Kill all that lives of a container, and wait for its end."""
    for process in (record.init, record.creator if record.init is None else None):
        if process is not None and send_signal(process, signal.SIGKILL) and not wait_for_end(process, _KILL_SECONDS):
            raise RlError(f"container {record.id} does not end after SIGKILL", "a process of it may hang in the kernel")


def processes(record: Record) -> list[ProcessId]:
    """Return the processes of a container: those in its cgroup, or where it has none and lives, in its mount namespace."""
    if record.cgroup is not None:
        return list(_identified(cgroup.processes(record.cgroup)))
    if record.init is None or not is_alive(record.init):
        return []
    own = _mount_namespace(record.init.pid)
    found = [process for process in _all_processes() if own is not None and _mount_namespace(process.pid) == own]
    return found if is_alive(record.init) else []


def _mount_namespace(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/mnt").st_ino
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None  # it ended, or is another user's


def _all_processes() -> Iterator[ProcessId]:
    return _identified(int(name) for name in os.listdir("/proc") if name.isdecimal())


def _identified(pids: Iterable[int]) -> Iterator[ProcessId]:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it ended just now
            yield identify(pid)
