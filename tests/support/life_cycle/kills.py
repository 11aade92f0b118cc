"""kill -9 of processes of one data root, and of no other: each is opened by a pidfd first, and then looked at."""

import contextlib
import os
import random
import signal
from pathlib import Path

from rootless.containers import documents
from rootless.linux.process import ProcessId, open_pidfd
from tests.support.engine import Engine


def kill_something(engine: Engine, rng: random.Random) -> str | None:
    """Kill a monitor, an init or any process of the data root; returns what it was, or None where there is none."""
    kind = rng.choice(("Monitor", "Init", "Entry", "any", "any"))
    if kind == "any":
        return _kill_any(engine, rng)
    container = rng.choice([*_containers(engine), None])
    if container is None:
        return None
    with contextlib.suppress(FileNotFoundError):  # it is being made, or was removed
        process = documents.read(str(container))["Rl"][kind]
        if process is not None and _kill(ProcessId(*process)):
            return f"kill-9 {kind} {process[0]} of {container.name[:12]}"
    return None


def _containers(engine: Engine) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return sorted((engine.data_root / "containers").iterdir())
    return []


def _kill(process: ProcessId) -> bool:
    pidfd = open_pidfd(process)
    if pidfd is None:
        return False
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def _kill_any(engine: Engine, rng: random.Random) -> str | None:
    """Kill any process of the engine's: commands, sessions, standbys, monitors, stages, workers, helpers."""
    found = engine.processes()
    if not found:
        return None
    pid, line = rng.choice(sorted(found))
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    try:
        # From here on the descriptor cannot change its process; what we know of its number may be old.
        if f"RL_ROOT={engine.data_root}".encode() not in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            return None
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except (ProcessLookupError, FileNotFoundError, PermissionError):
        return None
    finally:
        os.close(pidfd)
    return f"kill-9 any {pid} ({line.partition(' -m ')[2] or line})"
