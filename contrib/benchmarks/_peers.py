"""The engines that are compared, each with an environment and folders of its own, and the image that both run.

Podman is set up as rootless Debian 12 has it where there is no systemd: runc, cgroupfs, slirp4netns (its default for a user).
"""

import grp
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import tempfile
from typing import Any, NamedTuple

from _memory import processes_of

IMAGE = "localhost/busybox:latest"

_CONTAINERS_CONF = """\
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_STORAGE_CONF = """\
[storage]
driver = "overlay"
runroot = "{folder}/run/c"
rootless_storage_path = "{folder}/data"
"""
_FUSE_OVERLAYFS = """\
[storage.options.overlay]
mount_program = "/usr/bin/fuse-overlayfs"
"""
# A root file system of Debian's static busybox, as both engines' `import` read it.
_MAKE_TAR = (
    "import sys; from rootless.images.busybox import applets_of, root_file_system; "
    "sys.stdout.buffer.write(root_file_system(open('/bin/busybox', 'rb').read(), applets_of('/bin/busybox')))"
)


class Engine(NamedTuple):
    """One engine in one configuration: its name in the tables, its program, and what it finds in the environment."""

    name: str
    program: str
    folder: str
    environ: dict[str, str]
    user: str

    def popen(self, *arguments: str, wrapper: tuple[str, ...] = (), **options: Any) -> "subprocess.Popen[bytes]":
        """Start a command of the engine as its user; below a wrapper (strace), which changes the user itself."""
        account = {} if wrapper else account_options(self.user)
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [*wrapper, self.program, *arguments]
        return subprocess.Popen(command, env=self.environ, cwd="/", **{**streams, **account, **options})

    def __call__(self, *arguments: str, **options: Any) -> str:
        """Run a command to its end and return its output. Raises `RuntimeError` when it fails."""
        process = self.popen(*arguments, **options)
        output, errors = process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"{self.name} {shlex.join(arguments)}: status {process.returncode}: {errors.decode().strip()}")
        return output.decode()


class Bench:
    """All engines, below one folder that goes at the end."""

    def __init__(self, user: str, environment: str) -> None:
        self._user, self._environment = user, environment
        self.folder = tempfile.mkdtemp(prefix="rl-bench-", dir="/var/tmp")
        os.chmod(self.folder, 0o755)
        self.rl = self._rl("rl", {})
        self.rl_fuse = self._rl("rl fuse", {"RL_STORAGE_DRIVER": "fuse"})
        self.podman = self._podman("podman", "")
        self.podman_fuse = self._podman("podman fuse-overlayfs", _FUSE_OVERLAYFS)

    def __enter__(self) -> "Bench":
        python = f"{self._environment}/bin/python"
        tar = subprocess.run([python, "-I", "-c", _MAKE_TAR], check=True, capture_output=True).stdout
        path = f"{self.folder}/busybox.tar"
        with open(path, "wb") as file:
            file.write(tar)
        for engine in self.engines:
            engine("import", path, IMAGE)
        return self

    @property
    def engines(self) -> list[Engine]:
        """All engines."""
        return [self.rl, self.rl_fuse, self.podman, self.podman_fuse]

    def __exit__(self, *_failure: object) -> None:
        for engine in self.engines:
            names = engine("ps", "-aq").split()
            if names:
                engine("rm", "-f", *names)
            _end_processes(engine)
        if os.getuid() == 0:
            shutil.rmtree(self.folder)
        else:  # layers belong to subordinate IDs
            subprocess.run(["unshare", "--user", "--map-root-user", "--map-auto", "rm", "-rf", self.folder], check=True)

    def _rl(self, name: str, extra: dict[str, str]) -> Engine:
        folder = self._folder(name)
        environ = {**_base_environ(folder, self._user), "RL_ROOT": f"{folder}/data", "RL_RUNROOT": f"{folder}/run/rl", **extra}
        return Engine(name, f"{self._environment}/bin/rl", folder, environ, self._user)

    def _podman(self, name: str, storage_options: str) -> Engine:
        folder = self._folder(name)
        for file_name, text in (
            ("containers.conf", _CONTAINERS_CONF),
            ("storage.conf", _STORAGE_CONF.format(folder=folder) + storage_options),
        ):
            with open(f"{folder}/{file_name}", "w") as file:
                file.write(text)
        environ = {
            **_base_environ(folder, self._user),
            "CONTAINERS_CONF": f"{folder}/containers.conf",
            "CONTAINERS_STORAGE_CONF": f"{folder}/storage.conf",
        }
        return Engine(name, "/usr/bin/podman", folder, environ, self._user)

    def _folder(self, name: str) -> str:
        # Initials: where podman's runroot is longer than 50 bytes, its clean-up after a container fails, and `run` waits for 20 s.
        folder = f"{self.folder}/{''.join(word[0] for word in name.split())}"
        account = pwd.getpwnam(self._user)
        for path in (folder, f"{folder}/run"):
            os.mkdir(path, 0o700)
            os.chown(path, account.pw_uid, account.pw_gid)
        return folder


def _base_environ(folder: str, user: str) -> dict[str, str]:
    return {
        "HOME": folder,
        "USER": user,
        "XDG_RUNTIME_DIR": f"{folder}/run",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
    }


def account_options(user: str) -> dict[str, Any]:
    """Return the options of `subprocess` that start a program as the user."""
    if os.getuid() != 0:
        return {}
    account = pwd.getpwnam(user)
    groups = [group.gr_gid for group in grp.getgrall() if user in group.gr_mem]
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}


def _end_processes(engine: Engine) -> None:
    """End what stays without containers: the processes that keep podman's user namespace; rl has none."""
    for pid in processes_of(engine.folder):
        os.kill(pid, signal.SIGKILL)
