"""A user and network namespace with a tap, as the engine makes them, and a `slirp_net` that serves it, both unprivileged."""

import array
import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Self

from rootless.linux.namespaces import setns, unshare
from rootless.networks import modes
from rootless.networks.modes import Network, PrivateNetwork
from tests.support.test_user import become_test_user, drop_privileges

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

GATEWAY = "10.0.2.2"
DNS = "10.0.2.3"
ADDRESS = "10.0.2.100"


class Namespace:
    """A process that only keeps a user and network namespace, and our descriptor of the tap in there."""

    def __init__(self, mtu: int = 65520) -> None:
        self.network = Network("slirp", PrivateNetwork(mtu=mtu, allow_host_loopback=True))
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            self._become(theirs)
        theirs.close()
        try:
            payload, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
            assert payload, "the namespace could not be made: see its traceback"
            (self.tap,) = descriptors
            assert ours.recv(1) == b"r"
        finally:
            self._ours = ours

    def _become(self, theirs: socket.socket) -> None:
        try:
            become_test_user()
            ids = os.getuid(), os.getgid()
            unshare(CLONE_NEWUSER | CLONE_NEWNET)
            for name, text in (("setgroups", "deny"), ("uid_map", f"0 {ids[0]} 1"), ("gid_map", f"0 {ids[1]} 1")):
                with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                    file.write(text)
            tap = modes.make_device(self.network)
            assert tap is not None
            socket.send_fds(theirs, [b"t"], [tap])
            os.close(tap)
            theirs.send(b"r")
            theirs.recv(1)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)

    def run(self, function: Callable[[], Any]) -> Any:
        """Return what `function` returns in a child in the namespace; a child's exception fails the test."""
        return self.begin(function)()

    def begin(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """Start `function` in a child in the namespace; call the result to wait for it."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(reading)
                become_test_user()
                for kind in ("user", "net"):
                    descriptor = os.open(f"/proc/{self.pid}/ns/{kind}", os.O_RDONLY)
                    setns(descriptor, 0)
                signal.alarm(60)
                with open(writing, "wb") as pipe:
                    pickle.dump(function(), pipe)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(writing)

        def wait() -> Any:
            with open(reading, "rb") as pipe:
                answer = pipe.read()
            _, status = os.waitpid(child, 0)
            assert status == 0, f"the child failed ({status}): see its traceback"
            return pickle.loads(answer)

        return wait

    def close(self) -> None:
        os.close(self.tap)
        self._ours.close()
        os.waitpid(self.pid, 0)


class StackProcess:
    """A running `slirp_net`."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(20)
        command = [sys.executable, "-I", "-m", "slirp_net", str(theirs.fileno())]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, cwd="/", **drop_privileges())
        theirs.close()

    def ask(self, operation: str, *descriptors: int, **fields: Any) -> dict[str, Any]:
        """Make a request and return its answer."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self.control.sendmsg([json.dumps({"op": operation, **fields}).encode()], rights)
        payload = self.control.recv(65536)
        assert payload, f"slirp_net ended: {self.errors()}"
        answer = json.loads(payload)
        assert isinstance(answer, dict)
        return answer

    def attach(self, namespace: Namespace, **fields: Any) -> Self:
        assert namespace.network.private is not None
        answer = self.ask("attach", namespace.tap, **{**modes.attach_request(namespace.network.private), **fields})
        assert answer == {"ok": True}, answer
        return self

    def errors(self) -> str:
        """Wait for the process and return what it said on standard error."""
        _, said = self.process.communicate(timeout=10)
        return said.decode()

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        self.control.close()
        said = self.errors()
        assert said == "", said


class Container:
    """A namespace and the `slirp_net` that serves it."""

    def __init__(self, mtu: int = 65520, **fields: Any) -> None:
        self.namespace = Namespace(mtu)
        self.stack = StackProcess()
        self.stack.attach(self.namespace, **fields)
        self.run = self.namespace.run
        self.begin = self.namespace.begin

    def close(self) -> None:
        self.stack.close()
        self.namespace.close()


@contextlib.contextmanager
def container(mtu: int = 65520, **fields: Any) -> Iterator[Container]:
    """Make a container with a network and take it down again."""
    made = Container(mtu, **fields)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def listener(kind: int = socket.SOCK_STREAM) -> Iterator[tuple[socket.socket, int]]:
    """Give a socket bound to a free port of the host's loopback (listening if it is a stream), and the port."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(30)
        if kind == socket.SOCK_STREAM:
            sock.listen(128)
        yield sock, sock.getsockname()[1]
