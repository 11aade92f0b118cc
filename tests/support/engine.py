"""The whole `rl` under test: run as the unprivileged user, with a data root and runtime directory of its own, and a leak check."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rootless.locations import Locations
from tests.support.test_user import USER, drop_privileges

COMMAND = [sys.executable, "-I", "-m", "cli"]
TIMEOUT = 60.0


class Result(NamedTuple):
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


class Engine:
    """One data root and one runtime directory, with `rl` to work on them."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.data_root = folder / "d"
        self.runtime_dir = folder / "r"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "USER": USER.pw_name,
            "LANG": "C.UTF-8",
            "RL_ROOT": str(self.data_root),
            "RL_RUNROOT": str(self.runtime_dir),
            # The whole suite passes with another runtime or storage driver: RL_STORAGE_DRIVER=fuse contrib/test tests/system
            **{name: os.environ[name] for name in ("RL_RUNTIME", "RL_STORAGE_DRIVER") if name in os.environ},
            **(environment or {}),
        }

    def start(self, *arguments: str, env: dict[str, str] | None = None, **options: Any) -> subprocess.Popen[str]:
        """Start `rl` and do not wait."""
        wrapper = self.wrapper()
        account = {} if wrapper else drop_privileges()
        environment = {**self.environment, **(env or {})}
        return subprocess.Popen([*wrapper, *COMMAND, *arguments], env=environment, cwd=self.folder, text=True, **account, **options)

    def wrapper(self) -> list[str]:
        """Return what a command begins with that root is to run elsewhere; it becomes the test user itself."""
        return []

    def rl(
        self, *arguments: str, stdin: str = "", env: dict[str, str] | None = None, timeout: float = TIMEOUT, check: int | None = 0
    ) -> Result:
        """Run `rl` and return how it ended; `check` is the status expected, None for any."""
        process = self.start(*arguments, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        result = Result(process.returncode, out, err)
        assert "Traceback" not in err, err
        assert check is None or result.status == check, f"rl {' '.join(arguments)}: {result}"
        return result

    def python(self, *arguments: str) -> None:
        """Run the environment's Python as the user."""
        command = [sys.executable, "-I", *arguments]
        subprocess.run(command, env=self.environment, cwd=self.folder, check=True, stdout=subprocess.DEVNULL, **drop_privileges())

    @property
    def locations(self) -> Locations:
        """Where the engine's own modules find all of it."""
        return Locations(str(self.data_root), str(self.runtime_dir))

    def record(self, container: str) -> dict[str, Any]:
        """Return what is written of a container, our own part included, without the repair that reading by `rl` does."""
        container_id = os.readlink(self.data_root / "names" / container)
        text = (self.data_root / "containers" / container_id / "container.json").read_text()
        document: dict[str, Any] = json.loads(text)
        return document

    def state(self, container: str) -> dict[str, Any]:
        """Return Docker's State of a container."""
        (document,) = json.loads(self.rl("inspect", container).stdout)
        state: dict[str, Any] = document["State"]
        return state

    def processes(self) -> list[tuple[int, str]]:
        """Return PID and command line of every live process that works on this data root."""
        return list(_processes_with(f"RL_ROOT={self.data_root}"))

    def helper(self, container: str, module: str) -> int:
        """Return the PID of a container's helper process."""
        monitor = self.record(container)["Rl"]["Monitor"][0]
        (pid,) = [pid for pid, line in self.processes() if f"-m {module}" in line and _parent_of(pid) == monitor]
        return pid


def _processes_with(variable: str) -> Iterator[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue
        if variable.encode() in environment and line:  # a zombie has neither
            yield int(entry.name), line


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    """Return the PIDs of a process's children, those of its first thread."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Tell whether a process lives; a zombie does not (PID 1 here may reap seconds late)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Any, seconds: float = 10.0, what: str = "") -> None:
    """Wait until `condition()` is true; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.02)


def make_folder() -> Path:
    """Make a folder of the unprivileged user's with a short name."""
    folder = Path(tempfile.mkdtemp(prefix="rlt-", dir="/var/tmp"))
    (folder / "home").mkdir()
    for path in (folder, folder / "home"):
        os.chown(path, USER.pw_uid, USER.pw_gid)
        path.chmod(0o755)
    return folder


def check_and_remove(engine: Engine) -> None:
    """Remove all containers, then everything; fail if a process, mount or socket was left behind."""
    names = engine.rl("ps", "-aq", check=None).stdout.split()
    if names:
        engine.rl("rm", "-f", *names, check=None)
    try:
        wait_until(lambda: not engine.processes(), 10, "processes ended")
        assert str(engine.folder) not in Path("/proc/self/mounts").read_text()
        left = [path.name for path in engine.runtime_dir.glob("*.sock")] if engine.runtime_dir.exists() else []
        assert left == []
        trash = engine.data_root / "trash"
        wait_until(lambda: not trash.exists() or not list(trash.iterdir()), 10, "the trash is empty")
    finally:
        for pid, _line in engine.processes():
            os.kill(pid, signal.SIGKILL)
        remove_tree(engine.folder)


def remove_tree(folder: Path) -> None:
    """Remove a tree that may hold files of subordinate IDs, also when a normal user runs the tests."""
    if os.getuid() != 0:
        subprocess.run(["unshare", "--map-auto", "--map-root-user", "rm", "-rf", str(folder)], check=True)
    else:
        shutil.rmtree(folder)


def copy_store(source: Path, target: Path) -> None:
    """Copy a data root's images and layers, as the user."""
    command: Sequence[str] = ["cp", "-a", "--reflink=auto", str(source), str(target)]
    subprocess.run(command, check=True, **drop_privileges())
