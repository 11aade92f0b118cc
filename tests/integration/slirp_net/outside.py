"""What a container talks to: sockets on the host's loopback, or a network namespace of our own that stands for the host."""

import contextlib
import ctypes
import os
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Self

from rootless.linux.interfaces import Interfaces
from tests.integration.slirp_net.container import CLONE_NEWNET, Inside, become_unprivileged, enter, unshare_as_root

PUBLIC = "192.0.2.1"
_CLONE_NEWNS = 0x00020000
_MS_BIND = 4096
_KINDS = ("user", "net", "mnt")


@contextlib.contextmanager
def listener(kind: int = socket.SOCK_STREAM) -> Iterator[tuple[socket.socket, int]]:
    """Give a socket bound to a free port of the host's loopback (listening if it is a stream), and the port."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(30)
        if kind == socket.SOCK_STREAM:
            sock.listen(128)
        yield sock, sock.getsockname()[1]


class Host:
    """A host made up: it has the loopback addresses, PUBLIC, the resolv.conf at `resolv_conf`, and no other network."""

    def __init__(self, resolv_conf: str, *, may_ping: bool = True) -> None:
        reading, writing = os.pipe()
        self.init = os.fork()
        if self.init == 0:
            _be_host(writing, resolv_conf, may_ping=may_ping)
        os.close(writing)
        with open(reading, "rb") as pipe:
            assert pipe.read(1) == b"r", "no host: see its traceback"

    def place(self) -> None:
        """Move the caller onto this host."""
        enter(self.init, _KINDS)

    def begin(self, function: Callable[[], Any]) -> Inside:
        """Run `function` on this host, in a child."""
        return Inside(self.init, function, _KINDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.kill(self.init, signal.SIGKILL)
        os.waitpid(self.init, 0)


def _be_host(writing: int, resolv_conf: str, *, may_ping: bool) -> None:
    try:
        become_unprivileged()
        unshare_as_root(CLONE_NEWNET | _CLONE_NEWNS)
        interfaces = Interfaces()
        interfaces.set_up("lo")
        interfaces.set_address("lo:1", PUBLIC, 32)
        interfaces.close()
        if may_ping:  # else it is as the kernel makes it: nobody may
            with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:
                file.write("0 0")
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mount(resolv_conf.encode(), b"/etc/resolv.conf", None, _MS_BIND, None) == 0, os.strerror(ctypes.get_errno())
        os.write(writing, b"r")
        os.close(writing)
        while True:
            time.sleep(3600)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)
