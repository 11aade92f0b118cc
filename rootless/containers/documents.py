"""The document of a container, `container.json` in its folder: the JSON of `docker inspect`, and an `Rl` object of our own.

Written whole and renamed; readers take no lock. The folder's `run.lock` guards writers: the monitor holds it for as long as it
lives, and whoever changes a container without a monitor takes it too.
"""

import json
import os
from typing import Any, TypedDict

Process = list[int]
"""[PID, start time in clock ticks]."""


class State(TypedDict):
    """Docker's State; times are RFC 3339 in UTC with nanoseconds, "0001-01-01T00:00:00Z" for never."""

    Status: str  # created, running, exited
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


class Own(TypedDict):
    """What the engine must know and Docker does not show."""

    Node: str  # the node that runs or last ran it
    BootId: str
    RuntimeDir: str  # where its socket is
    Monitor: Process | None
    Init: Process | None
    LayerKeys: list[str]  # bottom first
    User: str
    Mounts: list[dict[str, Any]]  # OCI mounts that the user asked for


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


NEVER = "0001-01-01T00:00:00Z"
FILE = "container.json"


def read(folder: str) -> Document:
    """Read the document in a container's folder. Raises `FileNotFoundError` when there is none."""
    with open(f"{folder}/{FILE}", "rb", buffering=0) as file:
        document: Document = json.loads(file.read())
    return document


def write(folder: str, document: Document) -> None:
    """Replace the document atomically. Raises `OSError`; the old one stays then."""
    temporary = f"{folder}/.{FILE}.{os.getpid()}"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(document, file)
        os.rename(temporary, f"{folder}/{FILE}")
    except OSError:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def new_state() -> State:
    """Return the state of a container that was never started."""
    return State(
        Status="created", Running=False, Paused=False, Restarting=False, OOMKilled=False, Dead=False,
        Pid=0, ExitCode=0, Error="", StartedAt=NEVER, FinishedAt=NEVER,
    )  # fmt: skip


def set_running(state: State, pid: int, now: str) -> None:
    """Note the start."""
    state["Status"], state["Running"], state["Pid"] = "running", True, pid
    state["ExitCode"], state["Error"] = 0, ""
    state["StartedAt"], state["FinishedAt"] = now, NEVER


def set_exited(state: State, code: int, error: str, now: str) -> None:
    """Note the end, with the exit code and what the engine has to say about it."""
    state["Status"], state["Running"], state["Paused"], state["Pid"] = "exited", False, False, 0
    state["ExitCode"], state["Error"], state["FinishedAt"] = code, error, now
