"""The processes of a running container, as the node counts them."""

import os

from rootless.containers.documents import Document
from rootless.containers.lifecycle import refuse_foreign
from rootless.errors import InUse
from rootless.linux.namespaces import NEWNS, NEWPID, PROC_NAMES
from rootless.linux.process import ProcessId, is_alive
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent


def process_ids(locations: Locations, document: Document) -> list[int]:
    """Return the PIDs of all processes in the container's PID namespace, those that `rl exec` brought in, too.

    Where that is shared (`--pid`), they are those in the container's mount namespace. The caller is single-threaded.

    Raises `InUse` when it is not running, or runs on another node.
    """
    refuse_foreign(document)
    init = document["Rl"]["Init"]
    if not document["State"]["Running"] or init is None or not is_alive(ProcessId(*init)):
        raise InUse(f"container {document['Id'][:12]} is not running", "rl ps lists those that run")
    kind = PROC_NAMES[NEWNS if document["HostConfig"].get("PidMode") else NEWPID]
    entry = document["Rl"]["Entry"] or init
    return run_in_parent(locations, _in_namespace_of, (init[0], entry[0], kind))


def _in_namespace_of(wanted: tuple[int, int, str]) -> list[int]:
    """Return the PIDs; in the parent namespace, as the processes of subordinate IDs are closed to the user.

    `wanted` are init, a process whose namespace of that kind can be looked at (init with --init is closed), and the kind.
    """
    init, entry, kind = wanted
    namespace = _namespace(entry, kind)
    numbers = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    found = {number for number in numbers if namespace is not None and _namespace(number, kind) == namespace}
    return sorted(found | {init})


def _namespace(pid: int, kind: str) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/{kind}").st_ino
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # it has ended, or is another user's
        return None
