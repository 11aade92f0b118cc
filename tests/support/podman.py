"""Debian's podman as the unprivileged user, with folders of its own, and any OCI runtime."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.engine import Result, make_folder, remove_tree
from tests.support.test_user import USER, drop_privileges

IMAGE = "localhost/busybox:latest"
_CONTAINERS_CONF = """\
[engine]
runtime = "{runtime}"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_STORAGE_CONF = """\
[storage]
driver = "vfs"
runroot = "{folder}/c"
rootless_storage_path = "{folder}/data"
"""
_MAKE_TAR = (
    "import sys; from rootless.images.busybox import applets_of, root_file_system; "
    "sys.stdout.buffer.write(root_file_system(open('/bin/busybox', 'rb').read(), applets_of('/bin/busybox')))"
)


class Podman:
    """One podman with one runtime, a program's path or name."""

    def __init__(self, runtime: str) -> None:
        self.folder = make_folder()
        for name in ("run", "c", "tmp"):
            (self.folder / name).mkdir(0o700)
            os.chown(self.folder / name, USER.pw_uid, USER.pw_gid)
        (self.folder / "containers.conf").write_text(_CONTAINERS_CONF.format(runtime=runtime))
        (self.folder / "storage.conf").write_text(_STORAGE_CONF.format(folder=self.folder))
        self.environment = {
            "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
            "HOME": str(self.folder / "home"),
            "USER": USER.pw_name,
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self.folder / "run"),
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "TMPDIR": str(self.folder / "tmp"),
        }
        tar = subprocess.run([sys.executable, "-I", "-c", _MAKE_TAR], check=True, capture_output=True).stdout
        (self.folder / "busybox.tar").write_bytes(tar)
        self("import", str(self.folder / "busybox.tar"), IMAGE)

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command and do not wait."""
        return subprocess.Popen(["podman", *arguments], env=self.environment, cwd="/", text=True, **drop_privileges(), **options)

    def __call__(self, *arguments: str, stdin: str = "", check: int | None = 0) -> Result:
        """Run a command; `check` is the status expected, None for any."""
        pipe = subprocess.PIPE
        process = self.start(*arguments, stdin=pipe, stdout=pipe, stderr=pipe)
        out, err = process.communicate(stdin, 60)
        result = Result(process.returncode, out, err)
        assert check is None or result.status == check, f"podman {' '.join(arguments)}: {result}"
        return result

    def close(self) -> None:
        """Remove all containers and the folders; end podman's own process that keeps its user namespace."""
        self("rm", "-f", "-a", "-t", "0", check=None)
        self("unshare", "rm", "-rf", str(self.folder / "data"), check=None)
        pause = self.folder / "run" / "libpod" / "tmp" / "pause.pid"
        if pause.exists():
            os.kill(int(Path(pause).read_text()), 9)
        remove_tree(self.folder)
