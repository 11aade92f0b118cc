"""What of a node belongs to the test user and might leak: taken before and after, and compared.

Zombies count as gone: PID 1 of a test machine may reap seconds late. So does a process that ends and has given up its memory: what
it was started with cannot be read any more, so a test that waits for an engine's processes does not see it.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rootless.namespaces.idmap import default_maps
from tests.support.test_user import USER

_PROC = Path("/proc")
_NAMESPACES = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time")
_SLABS = ("user_namespace", "net_namespace", "pid_namespace", "mnt_cache", "uts_namespace")


class NodeState(NamedTuple):
    """Everything by name, so that a difference says what it is."""

    processes: frozenset[str]
    descriptors: dict[str, int]  # process -> open descriptors
    inotify: int
    namespaces: frozenset[str]
    mounts: frozenset[str]
    files: frozenset[str]
    sockets: frozenset[str]
    keys: int
    sysv: tuple[str, ...]

    def differences(self, later: "NodeState") -> list[str]:
        """Return what is different later, a line each."""
        found = []
        for name, before in self._asdict().items():
            after = getattr(later, name)
            if before == after or (name == "keys" and after < before):  # the kernel collects keys when it has time
                continue
            if isinstance(before, frozenset):
                found += [f"{name}: new: {entry}" for entry in sorted(after - before)]
                found += [f"{name}: gone: {entry}" for entry in sorted(before - after)]
            else:
                found.append(f"{name}: {before} -> {after}")
        return found

    def summary(self) -> str:
        """Return the numbers."""
        counts = {name: value if isinstance(value, int) else len(value) for name, value in self._asdict().items()}
        counts["descriptors"] = sum(self.descriptors.values())
        return ", ".join(f"{name} {count}" for name, count in counts.items())


def take(*folders: Path) -> NodeState:
    """Return the state now; `folders` are those in which files may be left."""
    processes, descriptors, namespaces, inotify = set(), {}, set(), 0
    for folder in _own_processes():
        try:
            name = f"{folder.name} {(folder / 'comm').read_text().strip()}"
            targets = [os.readlink(entry) for entry in (folder / "fd").iterdir()]
            namespaces |= {os.readlink(folder / "ns" / kind) for kind in _NAMESPACES}
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has just ended; or it is not to be looked into by a normal user, who sees it in `files` and `sockets`
        processes.add(name)
        descriptors[name] = len(targets)
        inotify += sum("inotify" in target for target in targets)
    return NodeState(
        processes=frozenset(processes),
        descriptors=descriptors,
        inotify=inotify,
        namespaces=frozenset(namespaces),
        mounts=frozenset(line for line in _lines("self/mountinfo") if _names_one(line, folders)),
        files=frozenset(_files(folders)),
        sockets=frozenset(line.split()[-1] for line in _lines("net/unix") if _names_one(line, folders)),
        keys=_keys(),
        sysv=tuple(_sysv()),
    )


def kernel_objects() -> dict[str, int]:
    """Return how many of each kind of namespace and mount the kernel holds, for all users; {} for others than root."""
    try:
        lines = _lines("slabinfo")
    except PermissionError:
        return {}
    fields = [line.split() for line in lines]
    return {name: int(active) for name, active, *_rest in fields if name in _SLABS}


def _own_processes() -> Iterator[Path]:
    uids = {USER.pw_uid}
    ranges = [range(line.outside, line.outside + line.length) for line in default_maps(USER.pw_uid, USER.pw_gid).maps.uids]
    for folder in _PROC.iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            fields = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        except (FileNotFoundError, ProcessLookupError):
            continue
        uid = int(fields["Uid"].split()[0])
        if "VmSize" in fields and (uid in uids or any(uid in one for one in ranges)):
            yield folder


def _files(folders: tuple[Path, ...]) -> Iterator[str]:
    """Yield what is below the folders; of those that all users share, what is the test user's own."""
    for top in folders:
        is_shared = top.exists() and bool(top.stat().st_mode & stat.S_ISVTX)
        for folder, subfolders, files in os.walk(top):
            for name in (*subfolders, *files):
                path = f"{folder}/{name}"
                if not is_shared or _owner(path) == USER.pw_uid:
                    yield path


def _owner(path: str) -> int | None:
    try:
        return os.lstat(path).st_uid
    except FileNotFoundError:
        return None


def _lines(name: str) -> list[str]:
    return (_PROC / name).read_text().splitlines()


def _names_one(line: str, folders: tuple[Path, ...]) -> bool:
    return any(f"{folder}/" in line for folder in folders)


def _keys() -> int:
    for line in _lines("key-users"):
        uid, usage = line.split(":", 1)
        if int(uid) == USER.pw_uid:
            return int(usage.split()[1].partition("/")[0])
    return 0


def _sysv() -> Iterator[str]:
    for kind in ("shm", "sem", "msg"):
        lines = _lines(f"sysvipc/{kind}")
        names = lines[0].split()
        for line in lines[1:]:
            fields = dict(zip(names, line.split(), strict=False))
            if fields.get("uid") == str(USER.pw_uid):
                yield f"{kind} {fields.get('shmid') or fields.get('semid') or fields.get('msqid')}"
