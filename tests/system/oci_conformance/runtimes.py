"""The three runtimes of the conformance table, as the unprivileged user."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.test_user import USER, drop_privileges

TIMEOUT = 60
_APPLETS = (
    *("awk", "cat", "chmod", "cut", "date", "echo", "env", "false", "grep", "head", "hostname", "id", "ls", "mkdir", "mkfifo"),
    *("mount", "nproc", "readlink", "sed", "seq", "sh", "sleep", "sort", "stat", "tail", "test", "touch", "tr", "true", "tty"),
    *("uname", "wc"),
)
# crun refuses nodes that have version 1 controllers as well, unless it sees the version 2 tree alone.
_ONLY_CGROUP2 = 'mount -t tmpfs none /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && exec "$@"'


class Outcome(NamedTuple):
    """How a row ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def is_refused(self) -> bool:
        """Whether the container was not made."""
        return self.status != 0 and not self.stdout


def commands() -> dict[str, list[str] | None]:
    """Return the command of each runtime; None where it cannot run here."""
    ours = [f"{Path(sys.executable).parent}/rl-oci"]
    return {"rl": ours, "crun": _crun(), "runc": ["runc"] if shutil.which("runc") else None}


def _crun() -> list[str] | None:
    if shutil.which("crun") is None:
        return None
    command = ["crun", "--cgroup-manager=disabled"]
    if not Path("/sys/fs/cgroup/unified").exists():
        return command
    if os.getuid() != 0:
        return None
    drop = ["setpriv", f"--reuid={USER.pw_uid}", f"--regid={USER.pw_gid}", "--init-groups"]
    return ["unshare", "--mount", "sh", "-c", _ONLY_CGROUP2, "sh", *drop, *command]


class Bundles:
    """Bundles of one folder, each with a root file system of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._busybox = folder / "busybox"
        shutil.copy("/bin/busybox", self._busybox)
        os.chown(self._busybox, USER.pw_uid, USER.pw_gid)

    def run(self, name: str, command: list[str], document: dict[str, Any]) -> Outcome:
        """Run a config with a runtime, and remove its bundle."""
        bundle = Path(tempfile.mkdtemp(prefix="b", dir=self.folder))
        state = bundle / "state"
        self._fill(bundle, document)
        environment = {"PATH": os.environ["PATH"], "HOME": str(bundle), "XDG_RUNTIME_DIR": str(bundle)}
        arguments = [*command, "--root", str(state), "run", "--bundle", str(bundle), bundle.name]
        dropped = {} if command[0] == "unshare" else drop_privileges()
        process = subprocess.run(
            arguments, env=environment, cwd=bundle, capture_output=True, text=True, timeout=TIMEOUT, check=False,
            stdin=subprocess.DEVNULL, **dropped,
        )  # fmt: skip
        assert "Traceback" not in process.stderr, process.stderr
        assert not [path for path in state.glob("[!.]*") if name == "rl"], "the state is left"
        shutil.rmtree(bundle)
        return Outcome(process.returncode, process.stdout.replace("\r", ""), process.stderr)

    def _fill(self, bundle: Path, document: dict[str, Any]) -> None:
        (bundle / "config.json").write_text(json.dumps(document))
        root = bundle / "rootfs"
        for folder in ("", "bin", "dev", "etc", "proc", "sys", "tmp", "full", "full/inner"):
            (root / folder).mkdir()
        os.link(self._busybox, root / "bin/busybox")
        for applet in _APPLETS:
            (root / "bin" / applet).symlink_to("busybox")
        (root / "full/file").write_text("content\n")
        (root / "full/inner/secret").write_text("secret\n")
        (root / "full/inner/secret").chmod(0o600)
        for path in (bundle, *bundle.rglob("*")):
            os.lchown(path, USER.pw_uid, USER.pw_gid)
