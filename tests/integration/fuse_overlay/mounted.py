"""A union that a real `fuse_overlay` serves, mounted in a user and mount namespace below a parent namespace, as the engine does it.

`in_parent` runs a function as root of a parent namespace of the unprivileged user's; there, `Mounted` is one mount with its layers,
and `Mounted.run` runs a function inside the namespaces of the mount, with its root as the working directory.
"""

import array
import contextlib
import json
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

from rootless.linux import libc, mounts, namespaces
from rootless.namespaces.idmap import IdMaps, write_by_kernel
from rootless.namespaces.parent import child_maps, fork_into_parent
from tests.support.engine import make_folder, remove_tree, wait_until
from tests.support.test_user import become_test_user

_PR_SET_DUMPABLE = 4
_SECONDS = float(os.environ.get("RL_TEST_SECONDS", "30"))  # that one test may take

Driver = Literal["fuse", "overlay"]


def in_parent(function: Callable[[Path], Any]) -> Any:
    """Return what `function` returns as root of a parent namespace, with a folder of its own that is then deleted.

    Fails when it takes too long, or when a process goes on afterwards; with the processes go their namespaces and mounts.
    """
    folder = make_folder()
    reading, writing = os.pipe()
    session = os.fork()
    if session == 0:
        os.setsid()
        os.close(reading)
        _report(writing, lambda: _as_user(folder, function))
        os._exit(0)
    os.close(writing)
    try:
        assert select.select([reading], [], [], _SECONDS)[0], f"no answer within {_SECONDS} s"
        value = _take(reading, session)
        wait_until(lambda: not _live_processes(session), 5, "no process is left of the test")
        return value
    finally:
        try:
            _kill_session(session)
        finally:
            remove_tree(folder)


def _as_user(folder: Path, function: Callable[[Path], Any]) -> Any:
    become_test_user()
    libc.call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)  # so that our children's maps can be written
    inner = folder / "inner"
    reading, writing = os.pipe()

    def body() -> None:
        os.close(reading)
        inner.mkdir()
        _report(writing, lambda: function(inner))

    pid = fork_into_parent(str(folder / "run"), body)
    os.close(writing)
    return _take(reading, pid)


def _kill_session(session: int) -> None:
    for pid in _live_processes(session):
        # It may just have ended, or may be a subordinate ID's, which ends with those it works for.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not _live_processes(session), 5, "the killed processes ended")


def _live_processes(session: int) -> list[int]:
    """Return the processes of a session but for zombies."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            state, _parent, _group, of = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue  # just ended
        if int(of) == session and state not in "ZX":
            found.append(int(name))
    return found


def fork(function: Callable[[], Any]) -> Any:
    """Return what `function` returns in a child; the child's exception fails the test."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _report(writing, function)
        os._exit(0)
    os.close(writing)
    return _take(reading, pid)


def _report(writing: int, function: Callable[[], Any]) -> None:
    with open(writing, "wb") as pipe:
        try:
            pickle.dump((True, function()), pipe)
        except BaseException:
            pickle.dump((False, traceback.format_exc()), pipe)


def _take(reading: int, pid: int) -> Any:
    """Return what a child reports; does not wait for the pipe's end, as the child's own children may hold it."""
    with open(reading, "rb") as pipe:
        try:
            good, value = pickle.load(pipe)
        except EOFError:
            good, value = False, "the child ended without a report"
    os.waitpid(pid, 0)
    assert good, value
    return value


class Mounted:
    """A mount of `lowers` (topmost first) below `upper`, by our server or by the kernel's overlayfs."""

    def __init__(
        self, folder: Path, lowers: list[Path], driver: Driver = "fuse", maps: IdMaps | None = None, **fields: Any
    ) -> None:
        """`maps` are those of the mount's user namespace (None: all of ours), `fields` further ones of the request to mount."""
        self.maps = maps
        self.upper, self.work, self.point = folder / "upper", folder / "work", folder / "mount"
        self.lowers = lowers
        self.fields = fields
        for made in (self.upper, self.work, self.point, *lowers):
            if not made.is_file():
                made.mkdir(exist_ok=True, parents=True)
        self.driver = driver
        self.init = self.server = -1
        self.control: socket.socket | None = None

    def __enter__(self) -> Self:
        try:
            if self.driver == "fuse" and self.server < 0:
                self.start_server()
            self._hand_over(self._start_init())
        except BaseException:
            self._kill()
            raise
        return self

    def _start_init(self) -> list[int]:
        """Make the namespaces, and mount in them; returns what the server needs: /dev/fuse, upper, work and the lowers."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.init = os.fork()
        if self.init == 0:
            ours.close()
            self._be_init(theirs)
        theirs.close()
        with ours:
            assert ours.recv(1) == b"u"
            write_by_kernel(self.init, self.maps or child_maps())
            ours.send(b"m")
            packet, descriptors, _flags, _address = socket.recv_fds(ours, 4096, 200)
        assert packet == b"mounted", packet
        return descriptors

    def _hand_over(self, descriptors: list[int]) -> None:
        if self.driver == "fuse":
            reply = self.request("mount", *descriptors, fds=["fuse", "upper", "work"], lowers=len(self.lowers), **self.fields)
            assert reply == {"ok": True}, reply
        for descriptor in descriptors:
            os.close(descriptor)

    def start_server(self) -> None:
        """Start the server, which then waits for requests; for those before the mount."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.server = os.fork()
        if self.server == 0:
            try:
                os.set_inheritable(theirs.fileno(), True)
                ours.close()
                self.serve(theirs.fileno())
            finally:
                os._exit(127)
        theirs.close()
        self.control = ours

    def serve(self, control: int) -> None:
        """Be the server; does not return."""
        os.execv(sys.executable, [sys.executable, "-I", "-m", "fuse_overlay", str(control)])

    def _be_init(self, sync: socket.socket) -> None:
        try:
            if self.control is not None:
                self.control.close()
            namespaces.unshare(namespaces.NEWUSER | namespaces.NEWNS)
            sync.send(b"u")
            assert sync.recv(1) == b"m"
            if self._first_id() == 0:
                os.setresgid(0, 0, 0)
                os.setresuid(0, 0, 0)
                libc.call("prctl", _PR_SET_DUMPABLE, 1, 0, 0, 0)  # so that others may join
            mounts.mount(None, "/", None, mounts.MS_REC | mounts.MS_SLAVE)
            descriptors = self._mount()
            socket.send_fds(sync, [b"mounted"], descriptors)
            sync.close()
            for descriptor in descriptors:
                os.close(descriptor)  # the connection must end with the server
            signal.pause()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _mount(self) -> list[int]:
        if self.driver == "overlay":
            lower = ":".join(str(path) for path in self.lowers)
            mounts.mount(
                "o", str(self.point), "overlay", 0, f"userxattr,lowerdir={lower},upperdir={self.upper},workdir={self.work}"
            )
            return []
        device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        owner = self._first_id()
        options = f"fd={device},rootmode=40000,user_id={owner},group_id={owner},allow_other,default_permissions"
        mounts.mount("fuse_overlay", str(self.point), "fuse", 0, options)
        return [device, *(os.open(path, os.O_RDONLY) for path in (self.upper, self.work, *self.lowers))]

    def _first_id(self) -> int:
        return 0 if self.maps is None else self.maps.uids[0].inside

    def request(self, operation: str, *descriptors: int, **fields: Any) -> dict[str, Any]:
        """Make a request on the control socket and return the answer."""
        return self.answer_to(json.dumps({"op": operation, **fields}).encode(), *descriptors)

    def answer_to(self, packet: bytes, *descriptors: int) -> dict[str, Any]:
        """Send a packet on the control socket and return the answer."""
        assert self.control is not None
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self.control.sendmsg([packet], rights)
        reply: dict[str, Any] = json.loads(self.control.recv(65536))
        return reply

    def run(self, function: Callable[[], Any], user: int = 0) -> Any:
        """Return what `function` returns in the mount's namespaces, at the mount's root, as `user` there."""

        def inside() -> Any:
            self._enter(user)
            return function()

        return fork(inside)

    def sh(self, script: str, user: int = 0) -> str:
        """Return the output of a shell script that must succeed."""

        def inside() -> str:
            done = subprocess.run(["/bin/sh", "-ec", script], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{script}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            return done.stdout

        return str(self.run(inside, user))

    def _enter(self, user: int) -> None:
        pidfd = os.pidfd_open(self.init)
        namespaces.setns(pidfd, namespaces.NEWUSER | namespaces.NEWNS)
        os.close(pidfd)
        os.chdir(self.point)  # while we are root: other users cannot search the way to it
        if self.maps is None or not self.maps.is_single:
            os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)

    def wait_for_server(self, seconds: float = 5) -> int:
        """Return the server's exit status, as `os.waitstatus_to_exitcode` has it."""
        pidfd = os.pidfd_open(self.server)
        try:
            assert select.select([pidfd], [], [], seconds)[0], "the server goes on"
        finally:
            os.close(pidfd)
        server, self.server = self.server, -1
        return os.waitstatus_to_exitcode(os.waitpid(server, 0)[1])

    def end_init(self) -> None:
        """End the namespaces, and with them the mount."""
        init, self.init = self.init, -1
        os.kill(init, signal.SIGKILL)
        os.waitpid(init, 0)

    def __exit__(self, *_exception: object) -> None:
        """Unmount; the server must then end with 0."""
        try:
            if self.init > 0:
                self.end_init()
            if self.server > 0:
                assert self.wait_for_server() == 0
        finally:
            self._kill()

    def _kill(self) -> None:
        if self.init > 0:
            self.end_init()
        if self.server > 0:
            os.kill(self.server, signal.SIGKILL)
            os.waitpid(self.server, 0)
        if self.control is not None:
            self.control.close()


def tree(top: str = ".") -> dict[str, tuple[Any, ...]]:
    """Return what is below `top`: for each path its type and mode, owner, size, link target or content, and attributes."""
    found: dict[str, tuple[Any, ...]] = {}
    for folder, folders, files in os.walk(top):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            status = os.lstat(path)
            content: object = None
            if os.path.islink(path):
                content = os.readlink(path)
            elif os.path.isfile(path):
                content = Path(path).read_bytes()
            attributes = {} if os.path.islink(path) else {key: os.getxattr(path, key) for key in os.listxattr(path)}
            found[os.path.relpath(path, top)] = (oct(status.st_mode), status.st_uid, status.st_gid, content, attributes)
    return found
