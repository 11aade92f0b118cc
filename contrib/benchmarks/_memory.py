"""The processes of an engine, found by its folder, and the memory that they take."""

import os
import re


def memory_of(folder: str) -> list[tuple[str, int]]:
    """Return name and PSS (bytes: the share of each page) of every process of the engine whose folder this is."""
    return [(_name(pid), _pss(pid)) for pid in processes_of(folder)]


def processes_of(folder: str) -> list[int]:
    """Return the PIDs of every process that has `folder` in its environment or command line, or descends from one."""
    parents = {pid: _parent(pid) for pid in _pids()}
    ours = {pid for pid in parents if _mentions(pid, folder.encode())}
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in ours} - ours
        ours |= children
        grown = bool(children)
    return sorted(ours)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != os.getpid()]


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # it has ended meanwhile, or is closed even to root: not ours
        return b""


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _mentions(pid: int, text: bytes) -> bool:
    return text in _read(pid, "environ") or text in _read(pid, "cmdline")


def _name(pid: int) -> str:
    words = _read(pid, "cmdline").decode(errors="replace").split("\0")
    if "-m" in words:
        return words[words.index("-m") + 1]
    return " ".join(words)[:40].strip()


def _pss(pid: int) -> int:
    found = re.search(rb"^Pss: +(\d+) kB$", _read(pid, "smaps_rollup"), re.MULTILINE)
    return int(found[1]) << 10 if found else 0
