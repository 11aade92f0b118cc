"""What `rl ps` shows of a container: the fields of Docker's formatter, computed from its document when they are asked for."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from cli.durations import ago, created_at, human_duration, parse_rfc3339
from cli.tables import ellipsis, quoted
from rootless.containers.documents import INITIALIZED, NEVER, Document
from rootless.containers.store import is_of_this_node

HEADERS: Final = {
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Labels": "LABELS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Mounts": "MOUNTS",
    "Names": "NAMES",
    "Networks": "NETWORKS",
    "Ports": "PORTS",
    "RunningFor": "CREATED",
    "Size": "SIZE",
    "State": "STATE",
    "Status": "STATUS",
}
COLUMNS: Final = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")

_SHORT_ID: Final = 12
_HEALTH: Final = {"starting": "health: starting"}
_COMMAND_WIDTH: Final = 20
_MOUNT_WIDTH: Final = 15


class ContainerRow(Mapping[str, Any]):
    """One container; `now` is seconds since the epoch."""

    def __init__(self, document: Document, now: float, *, truncate: bool, size: str = "0B") -> None:
        self._document = document
        self._now = now
        self._truncate = truncate
        self._size = size

    def __getitem__(self, name: str) -> Any:
        if name == "Label":
            return lambda label: self._labels().get(label, "")
        return _FIELDS[name](self)

    def __iter__(self) -> Iterator[str]:
        return iter(_FIELDS)

    def __len__(self) -> int:
        return len(_FIELDS)

    def __contains__(self, name: object) -> bool:
        return name in _FIELDS or name == "Label"

    def _labels(self) -> dict[str, str]:
        return self._document["Config"].get("Labels") or {}

    def _id(self) -> str:
        return self._document["Id"][:_SHORT_ID] if self._truncate else self._document["Id"]

    def _command(self) -> str:
        words = [self._document["Path"], *(f"'{word}'" if " " in word else word for word in self._document["Args"])]
        line = " ".join(words)
        return quoted(ellipsis(line, _COMMAND_WIDTH) if self._truncate else line)

    def _image(self) -> str:
        name = str(self._document["Config"].get("Image") or self._document["Image"])
        short = name.removeprefix("sha256:")
        is_id = len(short) == 64 and not set(short) - set("0123456789abcdef")
        return short[:_SHORT_ID] if self._truncate and is_id else name

    def _mounts(self) -> str:
        keys = ("Name", "Source", "Destination")
        names = [next((str(mount[key]) for key in keys if mount.get(key)), "") for mount in self._document["Mounts"]]
        return ",".join(ellipsis(name, _MOUNT_WIDTH) if self._truncate else name for name in names)

    def _status(self) -> str:
        return status_text(self._document, self._now)

    def _ports(self) -> str:
        ports, exposed = self._document["NetworkSettings"].get("Ports"), self._document["Config"].get("ExposedPorts")
        if not self._document["State"]["Running"] or not (ports or exposed):
            return ""
        from rootless.networks.publishing import shown  # few containers have ports

        return shown(ports or {}, exposed or {})


_FIELDS: Final[Mapping[str, Callable[[ContainerRow], Any]]] = {
    "Command": ContainerRow._command,
    "CreatedAt": lambda row: created_at(row._document["Created"]),
    "ID": ContainerRow._id,
    "Image": ContainerRow._image,
    "Labels": lambda row: ",".join(f"{name}={value}" for name, value in sorted(row._labels().items())),
    "LocalVolumes": lambda row: str(sum(mount["Type"] == "volume" for mount in row._document["Mounts"])),
    "Mounts": ContainerRow._mounts,
    "Names": lambda row: row._document["Name"].lstrip("/"),
    "Networks": lambda row: str(row._document["HostConfig"].get("NetworkMode") or ""),
    "Ports": ContainerRow._ports,
    "RunningFor": lambda row: ago(row._document["Created"], row._now),
    "Size": lambda row: row._size,
    "State": lambda row: row._document["State"]["Status"],
    "Status": ContainerRow._status,
}


def status_text(document: Document, now: float | None = None) -> str:
    """Return Docker's words for a container's state: `Up 2 minutes`, `Exited (0) 3 hours ago`."""
    now = time.time() if now is None else now
    state = document["State"]
    if state["Status"] == INITIALIZED:
        return "Initialized"
    if state["Running"]:
        up = f"Up {human_duration(max(0.0, now - parse_rfc3339(state['StartedAt']) / 1e9))}"
        if state["Paused"]:
            return f"{up} (Paused)"
        if state["Restarting"]:
            return f"Restarting ({state['ExitCode']}) {ago(state['FinishedAt'], now)}"
        if state.get("Health"):
            up += f" ({_HEALTH.get(state['Health']['Status'], state['Health']['Status'])})"
        return up if is_of_this_node(document) else f"{up}, running on {document['Rl']['Node']}"
    if state["Dead"]:
        return "Dead"
    if state["Status"] == "created" or state["FinishedAt"] == NEVER:
        return "Created"
    return f"Exited ({state['ExitCode']}) {ago(state['FinishedAt'], now)}"
