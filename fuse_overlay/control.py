"""The control socket: what the container's monitor asks of the server, and what the monitor's end means.

Theory of operation. The socket is one end of a SOCK_SEQPACKET pair. Each packet from the monitor is one JSON object with
descriptors (SCM_RIGHTS), and is answered by one packet, {"ok": true} or {"error": text, "errno": N}.

    mount  [/dev/fuse, upper, work, lowers... topmost first]   once, first; answered when requests will be served
           "lowers": their number; "user", "group": see `union.Ownership`; "flat": {"upper": bool, "lowers": [indexes]}
    guard  [pidfd of the container's init]                     kill it when the socket ends, which only the monitor's death does
    sync                                                       write what the upper's file system holds in memory to disk
    stop                                                       sync, answer, and exit with 0
"""

import array
import json
import os
import signal
from _socket import AF_UNIX, CMSG_SPACE, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOCK_SEQPACKET, SOL_SOCKET, socket
from collections.abc import Callable
from typing import Any, Final

_MAX_PACKET: Final = 1 << 16
_MAX_DESCRIPTORS: Final = 253  # the kernel's SCM_MAX_FD

Request = tuple[dict[str, Any], list[int]]


class ControlSocket:
    """Our end of the socket."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._socket = socket(AF_UNIX, SOCK_SEQPACKET, 0, descriptor)
        self._socket.setblocking(True)

    def receive(self) -> Request | None:
        """Return the next request, or None at the end. Raises `ValueError` for a packet that is not a JSON object."""
        try:
            payload, ancillary, _flags, _address = self._socket.recvmsg(
                _MAX_PACKET, CMSG_SPACE(_MAX_DESCRIPTORS * array.array("i").itemsize), MSG_CMSG_CLOEXEC
            )
        except ConnectionResetError:  # the monitor died with answers unread
            return None
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        if not payload:
            return None
        request = json.loads(payload)
        if not isinstance(request, dict):
            raise ValueError("a request is a JSON object")  # noqa: TRY004 - one error for every bad packet
        return request, descriptors.tolist()

    def answer(self, error: Exception | None = None) -> None:
        """Answer the last request; a monitor that has gone meanwhile shows at the next `receive`."""
        reply: dict[str, Any] = {"ok": True}
        if error is not None:
            reply = {"error": str(error), "errno": error.errno if isinstance(error, OSError) else 0}
        try:
            self._socket.send(json.dumps(reply).encode())
        except (BrokenPipeError, ConnectionResetError):
            return


class Control:
    """The requests after `mount`. `sync` writes the upper's file system out."""

    def __init__(self, control: ControlSocket, sync: Callable[[], object]) -> None:
        self._control = control
        self._sync = sync
        self._guarded = -1

    def handle(self) -> None:
        """Handle what the socket has: a request, or its end."""
        try:
            request = self._control.receive()
            if request is None:
                self._end()
                return
            self._execute(*request)
        except (OSError, ValueError) as error:
            self._control.answer(error)

    def _execute(self, request: dict[str, Any], descriptors: list[int]) -> None:
        operation = request.get("op")
        if operation == "guard" and len(descriptors) == 1:
            if self._guarded >= 0:
                os.close(self._guarded)
            self._guarded = descriptors[0]
        elif operation in ("sync", "stop") and not descriptors:
            self._sync()
        else:
            for descriptor in descriptors:
                os.close(descriptor)
            raise ValueError(f"unknown request: {operation} with {len(descriptors)} descriptors")
        self._control.answer()
        if operation == "stop":
            os._exit(0)

    def _end(self) -> None:
        """End the container and this process, because the monitor is gone."""
        if self._guarded >= 0:
            try:
                signal.pidfd_send_signal(self._guarded, signal.SIGKILL)
            except ProcessLookupError:  # it has ended by itself
                os._exit(0)
        os._exit(0)
