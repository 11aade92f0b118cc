"""The stage's part where another OCI runtime (crun, runc) makes the container, inside the namespaces and the root that it made.

Theory of operation. T is the stage of `rootless.runtime.stage`; R is the other runtime, executed by T for each step. Towards the
starter S, T stands in for the init of our own runtime, so that S need not know the difference.

    S                          T                                     R
                               writes config.json, without what T has made already
                               executes ---------------------------> create: init is made, and waits
                                 <-- master of the terminal -------- (console socket)
                                 <-- init's PID (a file) ----------- exits
      <------------ created [pidfd of init], console, ready
      ------------- start ----> executes --------------------------> start: lets init execute the command; exits
      <------------ end of file, or error
                               waits for init's end

Init becomes S's child: S is the nearest subreaper. R and its init know nothing of S, so T stays as long as init does and kills it
when S dies (parent-death signal). R sees version 2 of cgroups alone in T's mount namespace, for crun refuses a hybrid tree; neither
is asked to make a cgroup. All of R's files are in one folder of the container's.
"""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from rootless.errors import CannotInvoke, CommandNotFound, InvalidInput, NodeLacks, RlError
from rootless.linux import mounts, namespaces
from rootless.linux.own_process import close_all_except, set_command_line, set_name, set_parent_death_signal
from rootless.linux.sockets import SOCK_STREAM, listen_at, receive_descriptor, socket
from rootless.namespaces.parent import current_maps_are_single
from rootless.runtime import channel
from rootless.runtime.isolation import close_interpreter

OWN: Final = "rl"
_CONTAINER: Final = "container"
_CGROUP: Final = "/sys/fs/cgroup"
_MORE_FOLDERS: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin")
_MADE_BY_STAGE: Final = ("user", "network")
_OF_COMMAND: Final = ("executable", "exec:", "exec ")
# The last is what crun says of a folder.
_NOT_INVOKED: Final = ("permission denied", "exec format error", "is a directory", "operation not permitted")


class ForeignRuntime(NamedTuple):
    """Another runtime for one container."""

    program: str
    folder: str  # of the container's, where all of it goes
    starter: int  # S's PID


def find(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the program of a runtime by its name or path; None for our own. Raises `InvalidInput`, `NodeLacks`."""
    if name == OWN:
        return None
    if "/" in name:
        path = os.path.abspath(name)
        if not os.path.isfile(path) or not os.access(path, os.X_OK):
            raise InvalidInput(f"the OCI runtime {name} is not an executable file", "give the path of crun or runc, or rl")
        return path
    for folder in (*environ.get("PATH", "").split(":"), *_MORE_FOLDERS):
        path = f"{folder}/{name}"
        if folder.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise NodeLacks(f"the OCI runtime {name} is not installed", f"install it (Debian: apt install {name}), or use --runtime {OWN}")


def run(runtime: ForeignRuntime, spec: Mapping[str, Any], stdio: Sequence[int] | None, sync: socket, known: dict[str, Any]) -> None:
    """Be T from the finished root on: returns when the container has ended."""
    console = _prepare(runtime, spec)
    set_name(b"rl-stage")
    set_command_line(b"rl stage")  # it stays as long as the container runs, and is no monitor
    close_all_except({0, 1, 2, sync.fileno(), *(stdio or ()), *(() if console is None else (console.fileno(),))} - {-1})
    close_interpreter()
    descriptors = list(stdio or (-1, -1, -1))
    create = ["create", "--bundle", runtime.folder, "--pid-file", f"{runtime.folder}/pid"]
    if console is not None:
        create += ["--console-socket", "console.sock"]  # in the bundle, the working folder: a whole path may be too long
    command = spec["process"]["args"][0]
    _execute(runtime, [*create, _CONTAINER], descriptors, command)
    with open(f"{runtime.folder}/pid", "rb") as file:
        pid = int(file.read())
    pidfd = os.pidfd_open(pid)
    try:
        _serve(runtime, sync, pid, pidfd, console, known, command)
        # Nobody asks R anything more: signals go to init, and exec joins it. The config holds the values of secrets.
        shutil.rmtree(runtime.folder, ignore_errors=True)
        sync.close()
        _stay(runtime, pidfd)
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _prepare(runtime: ForeignRuntime, spec: Mapping[str, Any]) -> socket | None:
    """Make R's folder anew with the config in it; returns the console socket, for a process with a terminal."""
    shutil.rmtree(runtime.folder, ignore_errors=True)
    os.mkdir(runtime.folder, 0o700)
    with open(f"{runtime.folder}/config.json", "w", encoding="utf-8") as file:
        json.dump(_config(spec), file)
    namespaces.unshare(namespaces.NEWCGROUP)
    with contextlib.suppress(OSError):  # where the kernel keeps that from us, R says what it lacks
        mounts.mount("cgroup", _CGROUP, "cgroup2")
    os.chdir(runtime.folder)
    return listen_at(runtime.folder, "console.sock", SOCK_STREAM) if spec["process"].get("terminal") else None


def _config(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config without the namespaces that T is in already, which R's init inherits."""
    if all(entry["type"] != "pid" or entry.get("path") for entry in spec["linux"]["namespaces"]):
        raise InvalidInput("another runtime than rl cannot share a PID namespace", "leave out --pid, or use --runtime rl")
    entries = [entry for entry in spec["linux"]["namespaces"] if entry["type"] not in _MADE_BY_STAGE and not entry.get("path")]
    wanted = [_for_another(mount, single_id=current_maps_are_single()) for mount in spec["mounts"]]
    return {**spec, "linux": {**spec["linux"], "namespaces": entries}, "mounts": wanted}


def _for_another(mount: dict[str, Any], *, single_id: bool) -> dict[str, Any]:
    """Leave out what another runtime takes amiss: a group where one ID is mapped; of a file, what is below it (rro)."""
    options = list(mount.get("options") or ())
    if single_id:
        options = [option for option in options if not option.startswith("gid=")]
    if mount.get("type") == "bind" and not os.path.isdir(mount["source"]):
        options = [option for option in options if option[:1] != "r" or option[1:] not in options]
    return {**mount, "options": options}


def _serve(
    runtime: ForeignRuntime, sync: socket, pid: int, pidfd: int, console: socket | None, known: dict[str, Any], command: str
) -> None:
    """Tell S of the container, and start it when S says so."""
    channel.send(sync, "created", [pidfd], init=pid, stage=None, known=known)
    if console is not None:
        master = receive_descriptor(console)
        channel.send(sync, "console", [master])
        os.close(master)
        console.close()
    channel.send(sync, "ready")
    if channel.receive(sync).event != "start":
        raise RlError("the monitor died")
    set_parent_death_signal(signal.SIGTERM)
    if os.getppid() != runtime.starter:
        raise RlError("the monitor died")
    _execute(runtime, ["start", _CONTAINER], (-1, -1, -1), command)


def _stay(runtime: ForeignRuntime, pidfd: int) -> None:
    """Wait for init's end, or for S's, which our caller answers by killing init."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    if os.getppid() == runtime.starter:
        select.select([pidfd, reading], [], [])


def _execute(runtime: ForeignRuntime, arguments: Sequence[str], stdio: Sequence[int], command: str) -> None:
    """Run a step of R. Raises what its log says; `command` is the container's own."""
    log = f"{runtime.folder}/log"
    options = ["--root", f"{runtime.folder}/state", "--log", log, "--log-format", "json"]
    if os.path.basename(runtime.program) == "crun":
        options.append("--cgroup-manager=disabled")
    pid = os.fork()
    if pid == 0:
        try:
            _become_runtime([runtime.program, *options, *arguments], stdio)
        finally:
            os._exit(127)
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise _error(runtime, log, command)


def _become_runtime(command: list[str], stdio: Sequence[int]) -> None:
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    opened = [fcntl.fcntl(null if one < 0 else one, fcntl.F_DUPFD_CLOEXEC, 3) for one in stdio]
    for stream, descriptor in enumerate(opened):
        os.dup2(descriptor, stream)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execve(command[0], command, {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})


def _error(runtime: ForeignRuntime, log: str, command: str) -> RlError:
    """Return R's last error as ours, in Docker's words where it is about the command."""
    text = ""
    with contextlib.suppress(FileNotFoundError), open(log, "rb") as file:
        for line in file.read().decode("utf-8", "replace").splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                entry = json.loads(line)
                text = entry["msg"] if entry.get("level", "error") == "error" else text
    name = os.path.basename(runtime.program)
    message, lower = f"{name}: {text or 'it failed without a word'}", text.lower()
    if any(words in lower for words in _OF_COMMAND):
        if any(words in lower for words in _NOT_INVOKED):
            return CannotInvoke(f'exec: "{command}": permission denied ({message})')
        reason = "no such file or directory" if "/" in command else "executable file not found in $PATH"
        return CommandNotFound(f'exec: "{command}": {reason} ({message})')
    return RlError(message, "the container's engine.log may tell more; rl's own runtime is used without --runtime")
