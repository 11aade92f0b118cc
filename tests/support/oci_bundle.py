"""OCI bundles with busybox as their root, and an OCI runtime to run them as the unprivileged user."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.engine import Result, is_alive, make_folder, remove_tree, wait_until
from tests.support.test_user import USER, drop_privileges

OURS = [f"{Path(sys.executable).parent}/rl-oci"]
APPLETS = ("cat", "echo", "env", "false", "grep", "head", "hostname", "id", "kill", "ls", "mkdir", "mount", "ps", "readlink", "sh")
APPLETS += ("sleep", "stat", "stty", "test", "touch", "true", "tty", "wc")


def config(*arguments: str, **process: Any) -> dict[str, Any]:
    """Return a config for a user without subordinate IDs: one ID, no network namespace."""
    return {
        "ociVersion": "1.0.2",
        "process": {"args": list(arguments), "env": ["PATH=/bin"], "cwd": "/", "user": {"uid": 0, "gid": 0}, **process},
        "root": {"path": "rootfs"},
        "hostname": "oci",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666"],
            },
        ],
        "linux": {
            "namespaces": [{"type": name} for name in ("user", "mount", "pid", "ipc", "uts")],
            "uidMappings": [{"containerID": 0, "hostID": USER.pw_uid, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": USER.pw_gid, "size": 1}],
        },
    }


class Runtime:
    """An OCI runtime with a bundle and a root of its own."""

    def __init__(self, program: Sequence[str] = tuple(OURS)) -> None:
        self.folder = make_folder()
        self.bundle = self.folder / "bundle"
        self.root = self.folder / "state"
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder / "home"), "XDG_RUNTIME_DIR": str(self.folder)}
        self.program = list(program)
        bin_folder = self.bundle / "rootfs" / "bin"
        bin_folder.mkdir(parents=True)
        shutil.copy("/bin/busybox", bin_folder)
        for applet in APPLETS:
            (bin_folder / applet).symlink_to("busybox")
        for name in ("proc", "dev", "sys", "etc", "tmp"):
            (self.bundle / "rootfs" / name).mkdir()
        for path in (self.bundle, *self.bundle.rglob("*")):
            os.lchown(path, USER.pw_uid, USER.pw_gid)

    def write(self, spec: dict[str, Any]) -> None:
        """Write the bundle's config."""
        (self.bundle / "config.json").write_text(json.dumps(spec))

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start the runtime and do not wait."""
        command = [*self.program, "--root", str(self.root), *arguments]
        return subprocess.Popen(command, env=self.environment, cwd=self.bundle, text=True, **drop_privileges(), **options)

    def run(self, *arguments: str, check: int | None = 0, stdin: str = "") -> Result:
        """Run the runtime; `check` is the status expected, None for any."""
        pipe = subprocess.PIPE
        process = self.start(*arguments, stdin=pipe, stdout=pipe, stderr=pipe)
        out, err = process.communicate(stdin, 60)
        result = Result(process.returncode, out, err)
        assert "Traceback" not in err, err
        assert check is None or result.status == check, f"{' '.join(arguments)}: {result}"
        return result

    def create(self, container: str, *arguments: str) -> None:
        """Create a container whose output nobody reads: its streams outlive the command."""
        null = subprocess.DEVNULL
        process = self.start("create", *arguments, container, stdin=null, stdout=null, stderr=subprocess.PIPE)
        assert process.stderr is not None
        with process.stderr:  # open in the container, too: not read to its end
            assert process.wait(60) == 0, process.stderr.readline()

    def state(self, container: str) -> dict[str, Any]:
        """Return what `state` prints."""
        state: dict[str, Any] = json.loads(self.run("state", container).stdout)
        return state

    def wait_for(self, container: str, status: str) -> None:
        """Wait until a container has a status."""
        wait_until(lambda: self.state(container)["status"] == status, what=f"{container} is {status}")

    def close(self) -> None:
        """Delete all containers and remove everything; fail if a process of one lives on."""
        pids = [int(json.loads(path.read_text())["init"][0]) for path in self.root.glob("*/state.json") if path.exists()]
        for path in self.root.glob("[!.]*"):
            self.run("delete", "--force", path.name, check=None)
        wait_until(lambda: not any(is_alive(pid) for pid in pids), what="containers ended")
        assert not self.root.exists() or list(self.root.iterdir()) == []
        remove_tree(self.folder)
