"""The state of one OCI container: a folder in the runtime's root with `state.json`, the config it was made with, and its socket.

Nothing here says whether a container runs: that is asked of the kernel. A container whose init is gone is `stopped`, one whose init
accepts connections at `start.sock` waits for its start (`created`), and any other is `running`: the command's execve closes the
socket. So no kill of any process of ours leaves a lie. A process is named by its PID and start time: a reused PID is noticed.

`lock` is held (flock) by whoever creates, starts or deletes; state, kill and exec take no lock.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from rootless.errors import DamagedRecord, InUse, InvalidInput, NoSuchObject
from rootless.linux.process import ProcessId, identify, is_alive
from rootless.linux.sockets import SOCK_SEQPACKET, connect_to
from rootless.locations import make_private_folder

SOCKET: Final = "start.sock"
_STATE: Final = "state.json"
_CONFIG: Final = "config.json"
_ID_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
_MAX_ID: Final = 200


class Record(NamedTuple):
    """What is written down of a container."""

    id: str
    bundle: str
    rootfs: str
    created: str  # RFC 3339
    owner: int  # the UID that made it
    version: str  # ociVersion of the config
    annotations: dict[str, str]
    creator: ProcessId
    init: ProcessId | None = None
    cgroup: str | None = None  # the folder of its own cgroup, to remove


class Folder:
    """The state folder of one container."""

    def __init__(self, root: str, container_id: str) -> None:
        check_id(container_id)
        self.id = container_id
        self.root = root
        self.path = f"{root}/{container_id}"

    def claim(self, record: Record, spec: dict[str, Any]) -> None:
        """Make the folder, complete at once. Raises `InUse` where the ID is taken."""
        make_private_folder(self.root)
        made = f"{self.root}/.{self.id}.{os.getpid()}"
        os.mkdir(made, 0o700)
        try:
            _write(f"{made}/{_STATE}", _encode(record))
            _write(f"{made}/{_CONFIG}", spec)
            os.rename(made, self.path)
        except OSError:
            shutil.rmtree(made, ignore_errors=True)
            if not os.path.exists(self.path):
                raise
            raise InUse(f"container {self.id} exists already", "delete it first, or use another ID") from None

    def read(self) -> Record:
        """Return the record. Raises `NoSuchObject`, `DamagedRecord`."""
        return _decode(self._load(_STATE), self.path)

    def spec(self) -> dict[str, Any]:
        """Return the config that the container was made with, whatever has become of the bundle."""
        return self._load(_CONFIG)

    def write(self, record: Record) -> None:
        """Replace the record atomically."""
        temporary = f"{self.path}/.{_STATE}"
        _write(temporary, _encode(record))
        os.rename(temporary, f"{self.path}/{_STATE}")

    def remove(self) -> None:
        """Remove the folder: from the rename on the ID is free."""
        gone = f"{self.root}/.{self.id}.{os.getpid()}.gone"
        os.rename(self.path, gone)
        shutil.rmtree(gone)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the container's lock. Raises `NoSuchObject` where it vanishes meanwhile."""
        while True:
            try:
                descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                raise self._missing() from None
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, self.path):
                break
            os.close(descriptor)
        try:
            yield
        finally:
            os.close(descriptor)

    def _load(self, name: str) -> dict[str, Any]:
        path = f"{self.path}/{name}"
        try:
            with open(path, "rb") as file:
                value: dict[str, Any] = json.load(file)
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing() from None
        except ValueError:
            raise DamagedRecord(f"the record of container {self.id} is damaged: {path}", f"remove the folder {self.path}") from None
        return value

    def _missing(self) -> NoSuchObject:
        return NoSuchObject(f"container {self.id} does not exist", "rl oci list shows those in this --root")


def list_all(root: str) -> list[Folder]:
    """Return the folders of all containers in a root."""
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return []
    return [Folder(root, name) for name in names if set(name) <= _ID_CHARACTERS and not name.startswith(".")]


def check_id(container_id: str) -> None:
    """Raise `InvalidInput` unless that can be a container's ID."""
    if not container_id or len(container_id) > _MAX_ID or set(container_id) - _ID_CHARACTERS or container_id.startswith("."):
        raise InvalidInput(f"invalid container ID {container_id!r}", "give letters, digits and _+-., not beginning with a dot")


def status(folder: Folder, record: Record) -> str:
    """Return the container's status in the words of the specification (runtime.md, "State")."""
    if record.init is None:
        return "creating" if is_alive(record.creator) else "stopped"
    if not is_alive(record.init):
        return "stopped"
    return "created" if _is_listening(folder) else "running"


def oci_state(record: Record, current: str) -> dict[str, Any]:
    """Return the state that the specification defines, as hooks get it."""
    state: dict[str, Any] = {"ociVersion": record.version, "id": record.id, "status": current}
    if record.init is not None and current != "stopped":
        state["pid"] = record.init.pid
    state["bundle"] = record.bundle
    if record.annotations:
        state["annotations"] = record.annotations
    return state


def new_creator() -> ProcessId:
    """Return the identity of the calling process."""
    return identify(os.getpid())


def _is_listening(folder: Folder) -> bool:
    try:
        connect_to(folder.path, SOCKET, SOCK_SEQPACKET).close()
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


def _is_at(descriptor: int, path: str) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    opened = os.fstat(descriptor)
    return (opened.st_dev, opened.st_ino) == (there.st_dev, there.st_ino)


def _write(path: str, value: dict[str, Any]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)


def _encode(record: Record) -> dict[str, Any]:
    return record._asdict()


def _decode(value: dict[str, Any], path: str) -> Record:
    try:
        record = Record(**value)
        return record._replace(creator=ProcessId(*record.creator), init=None if record.init is None else ProcessId(*record.init))
    except TypeError:
        raise DamagedRecord(f"the record in {path} is damaged", "remove that folder") from None
