"""The socket at which a container's monitor is reached, in the runtime directory.

Somebody may remove that directory under running containers. A client that finds no socket sends the monitor SIGUSR1, upon which the
monitor makes it again; nothing polls.
"""

import os
import signal
import time
from collections.abc import Callable

from rootless.containers.addresses import remove_stale_socket, socket_name
from rootless.containers.loop import READABLE, Loop
from rootless.errors import RlError
from rootless.linux.process import ProcessId, send_signal
from rootless.linux.sockets import accept_from, connect_to, listen_at, socket
from rootless.locations import make_private_folder

_RECREATE = signal.SIGUSR1
_PATIENCE = 5.0


class Endpoint:
    """The listening side, in the monitor."""

    def __init__(self, loop: Loop, runtime_dir: str, container_id: str, on_connection: Callable[[socket], None]) -> None:
        self._loop = loop
        self._runtime_dir = runtime_dir
        self._container_id = container_id
        self._on_connection = on_connection
        self._listener: socket | None = None
        self._wake_reading, self._wake_writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def open(self) -> None:
        """Listen, and listen again whenever SIGUSR1 comes."""
        signal.signal(_RECREATE, lambda _number, _frame: None)  # the wake-up descriptor does the work, in the loop
        signal.set_wakeup_fd(self._wake_writing)
        self._loop.watch(self._wake_reading, READABLE, lambda _events: self._on_wake())
        self._listen()

    def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._listener is not None:
            self._loop.forget(self._listener.fileno())
            self._listener.close()
            self._listener = None
            remove_stale_socket(self._runtime_dir, self._container_id)

    def _on_wake(self) -> None:
        os.read(self._wake_reading, 256)
        self._listen()

    def _listen(self) -> None:
        if self._listener is not None:
            self._loop.forget(self._listener.fileno())
            self._listener.close()
        make_private_folder(self._runtime_dir)
        self._listener = listen_at(self._runtime_dir, socket_name(self._container_id))
        self._loop.watch(self._listener.fileno(), READABLE, lambda _events: self._accept())

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection = accept_from(self._listener)
        except (BlockingIOError, ConnectionAbortedError):
            return  # it hung up before we came
        self._on_connection(connection)


def connect(runtime_dir: str, container_id: str, monitor: ProcessId) -> socket:
    """Return a connection to a container's monitor. Raises `RlError` when it does not answer."""
    deadline = time.monotonic() + _PATIENCE
    asked = False
    while time.monotonic() < deadline:
        try:
            return connect_to(runtime_dir, socket_name(container_id))
        except (FileNotFoundError, ConnectionRefusedError):
            if not asked and not send_signal(monitor, _RECREATE):
                break
            asked = True
            time.sleep(0.01)
    raise RlError(f"the monitor of container {container_id[:12]} does not answer", "rl ps -a tells whether it still runs")
