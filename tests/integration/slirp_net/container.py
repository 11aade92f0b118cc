"""A user and a network namespace with a tap, served by a real `slirp_net`, all as the unprivileged user."""

import array
import ctypes
import json
import os
import pickle
import pwd
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, Self

from rootless.linux.interfaces import Interfaces, create_tap
from rootless.linux.veth import create_veth

ADDRESS, GATEWAY, DNS = "10.0.2.100", "10.0.2.2", "10.0.2.3"
ADDRESS6, GATEWAY6, DNS6 = "fd00::100", "fd00::2", "fd00::3"
MAC, GATEWAY_MAC = "02:00:0a:00:02:64", "02:00:0a:00:02:02"
DEVICE = "eth0"
NAMES = {"host.containers.internal": GATEWAY, "host.docker.internal": GATEWAY}

_CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), what)


def become_unprivileged() -> None:
    if os.getuid() == 0:
        user = pwd.getpwnam(os.environ.get("RL_TEST_USER", "rltest"))
        os.setgroups([])
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
        _LIBC.prctl(4, 1, 0, 0, 0)  # dumpable again, so that its namespaces can be opened


class Container:
    """The namespaces (held by a sleeping process), the tap, and the stack's process."""

    def __init__(self, mtu: int = 65520, allow_host_loopback: bool = True, device: str = "tap", *, ipv6: bool = True) -> None:
        self.mtu = mtu
        self.ipv6 = ipv6 and mtu >= 1280
        self.device = device
        self.allow_host_loopback = allow_host_loopback
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.init = os.fork()
        if self.init == 0:
            ours.close()
            _be_init(theirs, mtu, device, ipv6=self.ipv6)
        theirs.close()
        packet, descriptors, _, _ = socket.recv_fds(ours, 100, 1)
        ours.close()
        assert packet == b"ready", packet
        self.tap = descriptors[0]
        self.pidfd = os.pidfd_open(self.init)
        self.stack = -1
        self.control: socket.socket | None = None

    def start(self, place: Callable[[], None] | None = None) -> Self:
        """Execute slirp_net, after `place` has put it where it is to run, and attach it to the tap."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.stack = os.fork()
        if self.stack == 0:
            become_unprivileged()
            if place is not None:
                place()
            theirs.set_inheritable(True)
            os.execv(sys.executable, [sys.executable, "-I", "-m", "slirp_net", str(theirs.fileno())])
        theirs.close()
        self.control = ours
        reply = self.request("attach", self.tap, **self.fields())
        assert reply == {"ok": True}, reply
        return self

    def fields(self) -> dict[str, Any]:
        return {
            "address": f"{ADDRESS}/24",
            "gateway": GATEWAY,
            "dns": DNS,
            "mtu": self.mtu,
            "mac": MAC,
            "gateway_mac": GATEWAY_MAC,
            "allow_host_loopback": self.allow_host_loopback,
            "names": NAMES,
            "ipv6": {"address": f"{ADDRESS6}/64", "gateway": GATEWAY6, "dns": DNS6} if self.ipv6 else None,
        }

    def request(self, operation: str, *descriptors: int, **fields: Any) -> dict[str, Any]:
        assert self.control is not None
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        self.control.sendmsg([json.dumps({"op": operation, **fields}).encode()], ancillary)
        reply: dict[str, Any] = json.loads(self.control.recv(65536))
        return reply

    def kill_stack(self) -> None:
        os.kill(self.stack, signal.SIGKILL)
        os.waitpid(self.stack, 0)
        self.stack = -1
        assert self.control is not None
        self.control.close()
        self.control = None

    def begin(self, function: Callable[[], Any]) -> "Inside":
        """Run `function` inside, in a child; `result` waits for what it returns."""
        return Inside(self.init, function)

    def run(self, function: Callable[[], Any]) -> Any:
        return self.begin(function).result()

    def stop(self) -> None:
        if self.stack > 0:
            assert self.request("stop") == {"ok": True}
            assert os.waitpid(self.stack, 0)[1] == 0
        if self.control is not None:
            self.control.close()
        os.kill(self.init, signal.SIGKILL)
        os.waitpid(self.init, 0)
        os.close(self.tap)
        os.close(self.pidfd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Inside:
    """A child in the container's namespaces."""

    def __init__(self, init: int, function: Callable[[], Any], kinds: tuple[str, ...] = ("user", "net")) -> None:
        self._reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self._reading)
                become_unprivileged()
                signal.alarm(100)
                enter(init, kinds)
                with open(writing, "wb") as pipe:
                    pickle.dump(function(), pipe)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(writing)

    def result(self) -> Any:
        with open(self._reading, "rb") as pipe:
            answer = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        assert status == 0, f"status {status}: see the traceback of the child"
        return pickle.loads(answer)


def enter(init: int, kinds: tuple[str, ...]) -> None:
    """Join namespaces of the process `init`."""
    descriptors = [os.open(f"/proc/{init}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in kinds]
    for descriptor in descriptors:
        _check(_LIBC.setns(descriptor, 0), "setns")
        os.close(descriptor)


def unshare_as_root(flags: int) -> None:
    """Move into a new user namespace, as its root, and other new namespaces."""
    uid, gid = os.getuid(), os.getgid()
    _check(_LIBC.unshare(_CLONE_NEWUSER | flags), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _be_init(engine: socket.socket, mtu: int, device: str, *, ipv6: bool) -> None:
    try:
        become_unprivileged()
        unshare_as_root(CLONE_NEWNET)
        interfaces = Interfaces()
        interfaces.set_up("lo")
        tap = create_tap(DEVICE) if device == "tap" else create_veth(DEVICE, mtu)
        interfaces.set_mtu(DEVICE, mtu)
        interfaces.set_mac(DEVICE, MAC)
        interfaces.set_address(DEVICE, ADDRESS, 24)
        interfaces.set_up(DEVICE)
        interfaces.add_default_route(GATEWAY)
        if ipv6:
            interfaces.set_ipv6(DEVICE, ADDRESS6, 64, GATEWAY6)
        interfaces.close()
        socket.send_fds(engine, [b"ready"], [tap])
        os.close(tap)
        engine.close()
        while True:
            time.sleep(3600)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)
