"""A monitor that loads its modules on another core, while the command line is still being read.

Theory of operation. The command forks a standby as the first thing that it does, long before it knows of any container:

    command                                      standby
    fork -------------------------------------->  own session; streams to /dev/null; loads the monitor's modules
    reads the command line, finds the image,
    makes the container's record
    hand-over: length, JSON [lock] ------------>  becomes that container's monitor (`monitor_process`)
    `frames` over the same socket <------------>  `frames`

End of file before the hand-over says that nothing is to be started: the standby ends. A standby that died is noticed at the
hand-over, and the command forks a monitor then. The standby has no descriptor of the command's but its end of the socket.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from rootless.linux.sockets import receive_packet, send_packet, socket, stream_pair

if TYPE_CHECKING:
    from rootless.containers.documents import Document
    from rootless.containers.lock import ContainerLock
    from rootless.locations import Locations

_LENGTH: Final = 4  # bytes, little-endian


class Standby(NamedTuple):
    """A process that can become one monitor: its PID, a child of ours, and our end of its socket."""

    pid: int
    sock: socket

    def hand_over(
        self, locations: "Locations", document: "Document", lock: "ContainerLock", console_size: tuple[int, int] | None
    ) -> bool:
        """Make it the monitor of a container whose lock it takes over; False when it cannot be.

        The caller closes its own copy of the lock.
        """
        if lock.descriptor < 0:  # a file stands for the lock: it names its holder
            return False
        import json  # 2 ms: the standby loads it for itself

        order = {"locations": locations, "document": document, "console": console_size, "environ": dict(os.environ)}
        content = json.dumps(order).encode()
        try:
            send_packet(self.sock, len(content).to_bytes(_LENGTH, "little"), [lock.descriptor])
            self.sock.sendall(content)
        except (BrokenPipeError, ConnectionResetError):  # it was killed
            return False
        return True


def fork() -> Standby:
    """Fork a standby. The caller is single-threaded."""
    ours, theirs = stream_pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _stand_by(theirs)
    theirs.close()
    return Standby(pid, ours)


def _stand_by(sock: socket) -> NoReturn:
    try:
        os.setsid()  # Ctrl-C in the terminal is for the command, whose end we notice
        _let_go_of_streams()
        import json  # the work that is done here meanwhile

        from rootless.containers import monitor_process

        content, lock_descriptor = _receive(sock)
        if content:
            _become_monitor(monitor_process.be_monitor, json.loads(content), lock_descriptor, sock)
    finally:
        os._exit(0)


def _let_go_of_streams() -> None:
    """Turn the standard streams to /dev/null: who reads the command's output to its end must not wait for us."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for stream in range(3):
        os.dup2(null, stream)
    os.close(null)


def _become_monitor(be_monitor: Callable[..., NoReturn], order: dict[str, Any], lock_descriptor: int, sock: socket) -> NoReturn:
    from rootless.containers.lock import ContainerLock  # loaded by now, as is the next
    from rootless.locations import Locations

    for name in set(os.environ) - set(order["environ"]):
        del os.environ[name]
    os.environ.update(order["environ"])
    locations, document, console = Locations(*order["locations"]), order["document"], order["console"]
    lock = ContainerLock.taken_over(f"{locations.containers}/{document['Id']}", lock_descriptor)
    be_monitor(locations, document, lock, sock, None if console is None else (console[0], console[1]))


def _receive(sock: socket) -> tuple[bytes, int]:
    """Return the hand-over and the lock's descriptor, or nothing when the command ended without."""
    try:
        header, descriptors = receive_packet(sock, _LENGTH)
    except ConnectionResetError:
        return b"", -1
    if len(header) != _LENGTH:
        return b"", -1
    (lock_descriptor,) = descriptors
    left = int.from_bytes(header, "little")
    parts = []
    while left:
        part = sock.recv(left)
        if not part:
            return b"", -1  # killed in between
        parts.append(part)
        left -= len(part)
    return b"".join(parts), lock_descriptor
