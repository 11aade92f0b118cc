"""What must be true of a data root when nobody works on it: the records are those of the processes, and nothing is left over.

Everything is looked up in the files and in /proc, not by asking `rl`, and then compared with what `rl` says.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from rootless.containers import documents
from rootless.errors import DamagedRecord
from rootless.images import layers
from rootless.linux.process import ProcessId, is_alive
from tests.support.engine import Engine

_PATIENCE: Final = 15.0  # seconds for what goes on in the background after a command: monitors that tidy up
_STATUSES: Final = frozenset({"created", "exited", "running", "restarting", "initialized"})


def problems_that_stay(find: Callable[[], list[str]]) -> list[str]:
    """Return what is wrong still after a while: containers may end, and monitors tidy up, while we look."""
    deadline = time.monotonic() + _PATIENCE
    while (found := find()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def problems(engine: Engine) -> list[str]:
    """Return what is wrong with records, names, locks and processes; the containers may run."""
    listed = engine.rl("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}", check=None)
    found = [f"rl ps -a: {listed.status}: {listed.stderr}"] if listed.status or listed.stderr else []
    shown = {line.split()[0]: line.split()[1:] for line in listed.stdout.splitlines()}
    records = dict(_records(engine, found))
    for container_id, record in records.items():
        found += [f"{container_id[:12]}: {text}" for text in _problems_of(engine, record)]
        expected = [record["Name"].lstrip("/"), record["State"]["Status"]]
        if shown.get(container_id) != expected:
            found.append(f"{container_id[:12]}: rl ps shows {shown.get(container_id)}, and the record is {expected}")
    found += [f"rl ps shows {container_id[:12]}, which is not there" for container_id in shown.keys() - records.keys()]
    found += _problems_of_names(engine, records)
    return [*found, *_strangers(engine, records)]


def _records(engine: Engine, found: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the records by ID. A folder without one is what a killed `create` left, and is collected a minute later."""
    folder = engine.data_root / "containers"
    for container in sorted(folder.iterdir()) if folder.exists() else ():
        try:
            yield container.name, dict(documents.read(str(container)))
        except FileNotFoundError:
            continue
        except (OSError, DamagedRecord) as error:
            found.append(f"{container.name[:12]}: {error!r}")


def _problems_of(engine: Engine, record: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with one record."""
    state, own = record["State"], record["Rl"]
    alive = {key: own[key] is not None and is_alive(ProcessId(*own[key])) for key in ("Monitor", "Init", "Entry")}
    begun = state["Status"] in ("running", "initialized")
    expected = {"Monitor": bool(state["Running"]), "Init": begun, "Entry": begun}
    if state["Status"] not in _STATUSES or state["Running"] != (state["Status"] in ("running", "initialized", "restarting")):
        yield f"an impossible state: {state}"
    if state["Status"] != "running":
        del expected["Entry"]  # of an init that waits, or is started again, nobody knows what will be joined
    if state["Status"] == "restarting":
        del expected["Init"]
    for key, wanted in expected.items():
        if alive[key] != wanted:
            yield f"{state['Status']}, and {key} {own[key]} {'lives' if alive[key] else 'does not live'}"
    if begun and state["Pid"] != own["Init"][0]:
        yield f"Pid {state['Pid']}, and Init {own['Init']}"
    if state["Status"] == "exited" and (state["Pid"] or state["FinishedAt"] == documents.NEVER):
        yield f"exited with the state {state}"
    folder = engine.data_root / "containers" / record["Id"]
    if _is_locked(folder / "run.lock") != bool(state["Running"]):
        yield f"{state['Status']}, and its lock is {'free' if state['Running'] else 'held'}"
    log = folder / "engine.log"
    if log.exists() and ("Traceback" in (text := log.read_text(errors="replace")) or "defect" in text):
        yield f"engine.log: {text}"
    lost = [key for key in own["LayerKeys"] if not layers.is_unpacked(engine.locations, key)]
    if lost:
        yield f"its layers are gone: {lost}"


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _problems_of_names(engine: Engine, records: dict[str, dict[str, Any]]) -> Iterator[str]:
    folder = engine.data_root / "names"
    links = {path.name: os.readlink(path) for path in folder.iterdir()} if folder.exists() else {}
    names = [record["Name"].lstrip("/") for record in records.values()]
    for name in {name for name in names if names.count(name) > 1}:
        yield f"the name {name} is that of several containers"
    for container_id, record in records.items():
        if links.get(record["Name"].lstrip("/")) != container_id:
            yield f"{container_id[:12]}: its name {record['Name']} leads to {links.get(record['Name'].lstrip('/'))}"
    for name, container_id in links.items():
        if container_id in records and records[container_id]["Name"] != f"/{name}":
            yield f"the name {name} leads to {container_id[:12]}, which is named {records[container_id]['Name']}"


def _strangers(engine: Engine, records: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield processes of the data root that are neither a running container's monitor or below one, nor a call of ours."""
    monitors = {record["Rl"]["Monitor"][0] for record in records.values() if record["State"]["Running"] and record["Rl"]["Monitor"]}
    lines = dict(engine.processes())
    for pid, line in lines.items():
        above = set(_ancestors(pid))
        if not above & monitors and os.getpid() not in above and not _is_session(line):
            yield f"the process {pid} belongs to no container: {line}"


def _is_session(line: str) -> bool:
    """Tell whether a process runs a command in a container: that lives on when who called it was killed."""
    return line in ("rl exec", "rl-exec")


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        yield pid
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return


def problems_after_a_stop(engine: Engine) -> list[str]:
    """Return what is wrong when all containers were stopped."""
    text = engine.rl("ps", "--format", "{{.Names}} {{.Status}}", check=None).stdout
    return problems(engine) + ([f"not stopped: {text}"] if text else [])


def problems_of_the_end(engine: Engine) -> list[str]:
    """Return what is left although there is no container: processes, mounts, control groups, what `rl system check` finds."""
    found = [f"runs still: {pid} {line}" for pid, line in engine.processes()]
    found += [f"mounted still: {line}" for line in Path("/proc/self/mounts").read_text().splitlines() if str(engine.folder) in line]
    listed = engine.rl("ps", "-a", check=None)
    if listed.stderr or len(listed.stdout.splitlines()) != 1:
        found.append(f"rl ps -a: {listed}")
    checked = engine.rl("system", "check", check=None)
    return found + ([f"rl system check: {checked}"] if checked.status else [])


def cgroups_of(ids: set[str]) -> list[str]:
    """Return the control groups that are named after one of these containers."""
    folders = [folder for folder, _folders, _files in os.walk("/sys/fs/cgroup")]
    return [folder for folder in folders if any(container_id in os.path.basename(folder) for container_id in ids)]
