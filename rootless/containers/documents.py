"""The document of a container, `container.json` in its folder: the JSON of `docker inspect`, and an `Rl` object of our own.

Written whole and renamed; readers take no lock. The folder's `run.lock` guards writers: the monitor holds it for as long as it
lives, and whoever changes a container without a monitor takes it too.
"""

import contextlib
import errno
import json
import os
import time
from typing import Any, Final, NotRequired, TypedDict

from rootless.errors import DamagedRecord

Process = list[int]
"""[PID, start time in clock ticks]."""


class State(TypedDict):
    """Docker's State; times are RFC 3339 in UTC with nanoseconds, "0001-01-01T00:00:00Z" for never."""

    Status: str  # created, running, restarting, exited
    Running: bool
    Paused: bool
    Restarting: bool
    OOMKilled: bool
    Dead: bool
    Pid: int
    ExitCode: int
    Error: str
    StartedAt: str
    FinishedAt: str
    Health: NotRequired[dict[str, Any]]


class Own(TypedDict):
    """What the engine must know and Docker does not show."""

    Node: str  # the node that runs or last ran it
    BootId: str
    RuntimeDir: str  # where its socket is
    Monitor: Process | None
    Init: Process | None
    Entry: Process | None  # whose namespaces `exec` joins: init, or with --init the command below it
    LayerKeys: list[str]  # bottom first
    User: str
    Mounts: list[dict[str, Any]]  # OCI mounts that the user asked for
    MountNamespace: int | None  # its number, where it alone tells what belongs to the container (see `strays`)
    InitPath: str | None  # --init-path, on the node
    StoppedByUser: bool  # and not started again since: `unless-stopped` leaves it so
    PidFile: str  # "" for none
    ByRun: bool  # made to be started at once: with --rm it goes also when it never came to that
    Given: dict[str, Any] | None  # see `CreateOptions.given`
    # Only where a container has such.
    AnonymousVolumes: NotRequired[list[str]]  # they go with it
    MountedImages: NotRequired[list[dict[str, Any]]]  # Id, LayerKeys
    SecretVariables: NotRequired[list[dict[str, Any]]]  # Name, File
    Staging: NotRequired[dict[str, list[Any]]]  # see `rootless.containers.staging`
    EndsWith: NotRequired[dict[str, Any]]  # Node, BootId, Process: whose end ends and removes it (a build's step)
    Pod: NotRequired[dict[str, Any]]  # Id, Name, IsInfra; of the infra container also Share, Labels (see `rootless.pods`)
    JoinedMaps: NotRequired[dict[str, Any]]  # see `namespace_modes.maps_of`


class Document(TypedDict):
    """One container."""

    Id: str
    Created: str
    Path: str
    Args: list[str]
    State: State
    Image: str  # sha256:<config digest>
    ResolvConfPath: str
    HostnamePath: str
    HostsPath: str
    LogPath: str
    Name: str  # with a leading slash, as Docker shows it
    RestartCount: int
    Driver: str
    Platform: str
    HostConfig: dict[str, Any]
    GraphDriver: dict[str, Any]
    Mounts: list[dict[str, Any]]
    Config: dict[str, Any]
    NetworkSettings: dict[str, Any]
    Rl: Own


INITIALIZED: Final = "initialized"  # Podman's word
PASSTHROUGH: Final = "passthrough"
"""The log driver with which a container has the standard streams of the command that starts it."""
NEVER = "0001-01-01T00:00:00Z"
FILE = "container.json"
_READ_TRIES = 20
_SHAPE: Final[dict[str, dict[str, tuple[type, ...]]]] = {
    "": {"Id": (str,), "Created": (str,), "Path": (str,), "Args": (list,), "Image": (str,), "Name": (str,), "Driver": (str,)},
    "State": {"Status": (str,), "Running": (bool,), "Pid": (int,), "ExitCode": (int,), "StartedAt": (str,), "FinishedAt": (str,)},
    "HostConfig": {"AutoRemove": (bool,), "NetworkMode": (str,)},
    "Config": {"Image": (str,), "Tty": (bool,), "OpenStdin": (bool,), "Env": (list,)},
    "Rl": {"Node": (str,), "BootId": (str,), "RuntimeDir": (str,), "LayerKeys": (list,), "Mounts": (list,)},
}
"""What every reader relies on, by the object that has it ("" is the document itself)."""


def read(folder: str) -> Document:
    """Read the document in a container's folder. Raises `FileNotFoundError` when there is none, else `DamagedRecord`."""
    path = f"{folder}/{FILE}"
    for _attempt in range(_READ_TRIES):
        with open(path, "rb", buffering=0) as file:
            content = file.read()
        try:
            document: Document = json.loads(content)
        except ValueError:  # on a full disk it is written in place: see `write`
            time.sleep(0.005)
        else:
            if _is_whole(document):
                return document
            break
    container_id = os.path.basename(folder)
    raise DamagedRecord(f"the record of container {container_id[:12]} is damaged: {path}", f"remove it: rl rm -f {container_id}")


def _is_whole(document: object) -> bool:
    """Tell whether a record has what every reader relies on; somebody may have edited it, or a disk lost a part."""
    if not isinstance(document, dict):
        return False
    for name, fields in _SHAPE.items():
        part = document.get(name) if name else document
        if not isinstance(part, dict) or not all(isinstance(part.get(key), kinds) for key, kinds in fields.items()):
            return False
    return all(_is_process(document["Rl"].get(key)) for key in ("Monitor", "Init", "Entry"))


def _is_process(value: object) -> bool:
    return value is None or (isinstance(value, list) and len(value) == 2 and all(isinstance(one, int) for one in value))


def write(folder: str, document: Document) -> None:
    """Replace the document atomically; where the disk is full, overwrite it in the space that it has. Raises `OSError`.

    A container's end must be noted on a full disk, too, and it is often the container that filled it.
    """
    content = json.dumps(document).encode()
    path, temporary = f"{folder}/{FILE}", f"{folder}/.{FILE}.{os.getpid()}"
    try:
        _write_file(temporary, os.O_CREAT | os.O_TRUNC, content)
        os.rename(temporary, path)
    except OSError as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        error.filename = path
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not os.path.exists(path):
            raise
        _write_file(path, 0, content.ljust(os.stat(path).st_size))


def _write_file(path: str, flags: int, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | flags, 0o600)
    try:
        written = os.write(descriptor, content)
    finally:
        os.close(descriptor)
    if written != len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)


def new_state() -> State:
    """Return the state of a container that was never started."""
    return State(
        Status="created", Running=False, Paused=False, Restarting=False, OOMKilled=False, Dead=False,
        Pid=0, ExitCode=0, Error="", StartedAt=NEVER, FinishedAt=NEVER,
    )  # fmt: skip


def set_running(state: State, pid: int, now: str) -> None:
    """Note the start."""
    state["Status"], state["Running"], state["Pid"] = "running", True, pid
    state["ExitCode"], state["Error"], state["Restarting"] = 0, "", False
    state["StartedAt"], state["FinishedAt"] = now, NEVER


def set_initialized(state: State, pid: int) -> None:
    """Note that init waits for the start (`rl init`): inside the engine that counts as running."""
    set_running(state, pid, NEVER)
    state["Status"] = INITIALIZED


def log_driver_of(document: Document) -> str:
    """Return the name of a container's log driver."""
    return str((document["HostConfig"].get("LogConfig") or {}).get("Type", "json-file"))


def has_begun(state: State) -> bool:
    """Tell whether the command of a container that runs was executed: one that is initialized still waits for that."""
    return state["Running"] and state["Status"] != INITIALIZED


def set_exited(state: State, code: int, error: str, now: str) -> None:
    """Note the end, with the exit code and what the engine has to say about it."""
    state["Status"], state["Running"], state["Paused"], state["Pid"] = "exited", False, False, 0
    state["ExitCode"], state["Error"], state["FinishedAt"], state["Restarting"] = code, error, now, False


def set_restarting(state: State, code: int, error: str, now: str) -> None:
    """Note an end after which the monitor starts the container again: for Docker it counts as running meanwhile."""
    set_exited(state, code, error, now)
    state["Status"], state["Running"], state["Restarting"] = "restarting", True, True
