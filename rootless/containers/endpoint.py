"""The socket at which a container's monitor is reached, in the runtime directory.

Somebody may remove that directory under running containers. A client that finds no socket sends the monitor SIGUSR1, upon which the
monitor makes it again; nothing polls. Where the directory cannot be made again (after a log-out, /run/user/UID is gone), the socket
moves to the private folder under /tmp, and the container's record tells where it is.
"""

import errno
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Final

from rootless.containers import documents
from rootless.containers.addresses import remove_stale_socket, socket_name
from rootless.containers.documents import Document
from rootless.containers.loop import READABLE, Loop
from rootless.errors import RlError
from rootless.linux.process import ProcessId, send_signal
from rootless.linux.sockets import accept_from, connect_to, listen_at, socket
from rootless.locations import make_private_folder

_RECREATE: Final = signal.SIGUSR1
_PATIENCE: Final = 5.0
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Endpoint:
    """The listening side, in the monitor. `folder` is the runtime directory that has the socket."""

    def __init__(self, loop: Loop, folders: Sequence[str], container_id: str, on_connection: Callable[[socket], None]) -> None:
        """`folders` are the runtime directories to try, in this order."""
        self._loop = loop
        self._folders = folders
        self.folder = folders[0]
        self._container_id = container_id
        self._on_connection = on_connection
        self._listener: socket | None = None
        self._wake_reading, self._wake_writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def open(self, on_moved: Callable[[], None]) -> None:
        """Listen, and listen again whenever SIGUSR1 comes; `on_moved` is called when `folder` has changed then.

        Raises `RlError` or `OSError` when no folder can be used now.
        """
        signal.signal(_RECREATE, lambda _number, _frame: None)  # the wake-up descriptor does the work, in the loop
        signal.set_wakeup_fd(self._wake_writing)
        self._listen()
        self._loop.watch(self._wake_reading, READABLE, lambda _events: self._on_wake(on_moved))

    def close(self) -> None:
        """Stop listening and remove the socket."""
        if self._listener is not None:
            self._stop_listening()
            remove_stale_socket(self.folder, self._container_id)

    def resume(self) -> None:
        """Accept again, after there were too many open files: a client has left."""
        if self._listener is not None:
            self._loop.watch(self._listener.fileno(), READABLE, lambda _events: self._accept())

    def _on_wake(self, on_moved: Callable[[], None]) -> None:
        os.read(self._wake_reading, 256)
        before = self.folder
        try:
            self._listen()
        except (RlError, OSError):
            return  # the container goes on unreachable; the next client asks again
        if self.folder != before:
            on_moved()

    def _listen(self) -> None:
        self._stop_listening()
        for folder in self._folders:
            try:
                make_private_folder(folder)
                self._listener = listen_at(folder, socket_name(self._container_id))
            except (RlError, OSError):
                if folder == self._folders[-1]:
                    raise
                continue
            self.folder = folder
            self.resume()
            return

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.forget(self._listener.fileno())
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            connection = accept_from(self._listener)
        except (BlockingIOError, ConnectionAbortedError):
            return  # it hung up before we came
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            self._loop.forget(self._listener.fileno())  # until `resume`, or it would be reported again and again
            return
        self._on_connection(connection)


def connect(container_folder: str, document: Document, monitor: ProcessId) -> socket:
    """Return a connection to a container's monitor. Raises `RlError` when it does not answer."""
    deadline = time.monotonic() + _PATIENCE
    asked = False
    while time.monotonic() < deadline:
        try:
            return connect_to(document["Rl"]["RuntimeDir"], socket_name(document["Id"]))
        except (FileNotFoundError, NotADirectoryError, PermissionError, ConnectionRefusedError):
            if not asked and not send_signal(monitor, _RECREATE):
                break
            asked = True
            time.sleep(0.01)
        try:
            document = documents.read(container_folder)  # the monitor may have moved its socket
        except FileNotFoundError:
            break
    raise RlError(
        f"the monitor of container {document['Id'][:12]} does not answer", "rl ps -a tells whether the container still runs"
    )
