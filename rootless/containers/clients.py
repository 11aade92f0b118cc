"""The clients of one container's monitor: who is attached, what they are sent, what they send.

Output is paced by the slowest attached client: `is_congested` tells when to stop reading from the container. A client that hangs up
or breaks the protocol of `frames` is dropped, and the container does not notice.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from rootless.containers import frames
from rootless.containers.loop import READABLE, WRITABLE, Loop
from rootless.errors import RlError, os_error_text
from rootless.linux.sockets import socket

_CONGESTED: Final = 1 << 20
_READ_SIZE: Final = 1 << 18
_MAX_SIZE: Final = 0xFFFF  # of struct winsize, ioctl_tty(2)


def refuse_unknown(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reply to a request that nobody knows."""
    return {"error": f"unknown request: {request['op']}"}


class Actions(NamedTuple):
    """What clients may ask of the monitor."""

    on_input: Callable[[bytes], bool]  # False: no more for now; `Clients.resume_input` is called later
    on_input_end: Callable[[], None]
    on_input_lost: Callable[[], None]  # a client that sent input hung up
    on_resize: Callable[[int, int], None]
    on_drained: Callable[[], None]
    on_left: Callable[[], None] = lambda: None  # a client is gone, and with it its descriptor
    on_request: Callable[[Mapping[str, Any]], dict[str, Any]] = refuse_unknown  # any other; returns the REPLY


class _Client:
    """One connection."""

    def __init__(self, sock: socket) -> None:
        self.sock = sock
        self.sender = frames.Sender(sock)
        self.decoder = frames.Decoder()
        self.asked = False
        self.wants_output = False
        self.wants_exit = False
        self.sends_input = False
        self.paused = False
        self.closing = False


class Clients:
    """All connections of a monitor."""

    def __init__(self, loop: Loop, actions: Actions) -> None:
        self._loop = loop
        self._actions = actions
        self._clients: list[_Client] = []

    def add(self, sock: socket) -> None:
        """Serve a new connection, whose first frame is a request."""
        client = _Client(sock)
        self._clients.append(client)
        self._watch(client)

    def add_starter(self, sock: socket) -> None:
        """Serve the command that starts the container: it is attached from before the first output on, if it asks for that.

        Waits for its request, and reads not a byte more: input that follows has nowhere to go yet. `reply_to_starter` answers.
        """
        client = _Client(sock)
        sock.setblocking(True)
        while not client.asked:
            received = sock.recv(client.decoder.missing)
            if not received:
                return  # it was killed; the container goes on
            for kind, payload in client.decoder.feed(received):
                self._take_request(client, kind, payload, answer=False)
        sock.setblocking(False)
        self._clients.append(client)

    def reply_to_starter(self, reply: dict[str, Any]) -> None:
        """Answer the request of the starter, the only client so far."""
        for client in list(self._clients):
            self._send(client, frames.REPLY, json.dumps(reply).encode())
            if client in self._clients:  # it may have been killed while the container was started
                self._watch(client)

    def send_output(self, kind: int, content: bytes) -> None:
        """Send what the container wrote to every attached client."""
        for client in list(self._clients):
            if client.wants_output:
                self._send(client, kind, content)

    @property
    def is_congested(self) -> bool:
        """Whether some attached client has not taken what it was sent yet."""
        return any(len(client.sender.pending) > _CONGESTED and not client.closing for client in self._clients)

    def announce_end(self, exit_report: dict[str, Any]) -> None:
        """Tell all clients of the container's end, without waiting for slow ones; there is nothing more to come."""
        report = json.dumps(exit_report).encode()
        for client in list(self._clients):
            if client.wants_exit:
                self._send(client, frames.EXIT, report)
            client.closing, client.wants_output, client.wants_exit = True, False, False  # what a next start says is not for it
            if client in self._clients and not client.sender.pending:
                self._drop(client)

    def wait_until_gone(self) -> None:
        """Wait until each client has taken what it was sent, or has hung up."""
        while self._clients:
            self._loop.run_once(None)

    def resume_input(self) -> None:
        """Read again from clients whose input had nowhere to go."""
        for client in list(self._clients):
            if client.paused:
                client.paused = False
                self._watch(client)

    def _watch(self, client: _Client) -> None:
        mask = (0 if client.paused else READABLE) | (WRITABLE if client.sender.pending else 0)
        self._loop.watch(client.sock.fileno(), mask, lambda events: self._on_events(client, events))

    def _on_events(self, client: _Client, events: int) -> None:
        if events & WRITABLE:
            self._flush(client)
        if client in self._clients and events & ~WRITABLE:
            self._receive(client)

    def _receive(self, client: _Client) -> None:
        try:
            received = client.sock.recv(_READ_SIZE)
        except BlockingIOError:
            return
        except ConnectionResetError:
            received = b""
        if not received:
            self._drop(client)
            return
        try:
            for kind, payload in client.decoder.feed(received):
                self._take(client, kind, payload)
        except (frames.FrameError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            self._drop(client)  # not our protocol: JSON of another shape, too

    def _take(self, client: _Client, kind: int, payload: bytes) -> None:
        if kind == frames.STDIN and client.sends_input:
            if not self._actions.on_input(payload):
                client.paused = True
                self._watch(client)
        elif kind == frames.STDIN_END and client.sends_input:
            self._actions.on_input_end()
        elif kind == frames.RESIZE and client.wants_output:
            size = json.loads(payload)
            self._resize(size)
        else:
            self._take_request(client, kind, payload, answer=True)

    def _take_request(self, client: _Client, kind: int, payload: bytes, *, answer: bool) -> None:
        if kind != frames.REQUEST:
            raise frames.FrameError(f"frame of kind {kind} out of turn")
        request = json.loads(payload)
        reply: dict[str, Any] = {}
        client.asked = True
        if request["op"] == "attach":
            client.wants_exit = True
            client.wants_output = bool(request.get("output", True))
            client.sends_input = bool(request.get("stdin"))
            if request.get("begin"):  # of a container that was initialized: from its first output on
                reply = self._actions.on_request({"op": "begin"})
        elif request["op"] == "wait":
            client.wants_exit = True
        elif request["op"] == "start":
            pass  # a detached start: the answer is all it wants
        elif request["op"] == "resize":
            self._resize(request)
        else:
            reply = self._actions.on_request(request)
        if answer:
            self._send(client, frames.REPLY, json.dumps(reply).encode())

    def _resize(self, size: Mapping[str, Any]) -> None:
        rows, columns = int(size["rows"]), int(size["columns"])
        if not (0 <= rows <= _MAX_SIZE and 0 <= columns <= _MAX_SIZE):
            raise frames.FrameError(f"no terminal has {rows} rows and {columns} columns")
        self._actions.on_resize(rows, columns)

    def _send(self, client: _Client, kind: int, payload: bytes) -> None:
        had_backlog = bool(client.sender.pending)
        try:
            client.sender.send(kind, payload)
        except (BrokenPipeError, ConnectionResetError):
            self._drop(client)
            return
        if client.sender.pending and not had_backlog:
            self._watch(client)

    def _flush(self, client: _Client) -> None:
        was_congested = self.is_congested
        try:
            client.sender.flush()
        except (BrokenPipeError, ConnectionResetError):
            self._drop(client)
            return
        if client.closing and not client.sender.pending:
            self._drop(client)
        else:
            self._watch(client)
        if was_congested and not self.is_congested:
            self._actions.on_drained()

    def _drop(self, client: _Client) -> None:
        was_congested = self.is_congested
        self._clients.remove(client)
        self._loop.forget(client.sock.fileno())
        client.sock.close()
        self._actions.on_left()
        if client.sends_input:
            self._actions.on_input_lost()
        if was_congested and not self.is_congested:
            self._actions.on_drained()


def failure_reply(error: RlError | OSError) -> dict[str, Any]:
    """Return the REPLY that carries an error to the other side."""
    if isinstance(error, RlError):
        return {"error": error.message, "kind": type(error).__name__, "hint": error.hint}
    return {"error": os_error_text(error), "kind": "RlError", "hint": None}
