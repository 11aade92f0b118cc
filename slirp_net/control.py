"""The requests of the engine, on one end of a socket of packets (SOCK_SEQPACKET).

Theory of operation. Each packet is one JSON object, perhaps with descriptors (SCM_RIGHTS), and each gets one reply, in order:
{"ok": true} with what was asked for, or {"error": text, "errno": number}.

    op        descriptors      does
    attach    the tap          serves it; once only
    publish   bound sockets    serves them: "ports" has [protocol, the container's port] of each
    guard     init's pidfd     ends init if the engine goes away without `stop`
    stats     -                returns counters
    stop      -                ends

The end of file on the socket means that the engine's monitor is dead. Its container must not go on without it, and PDEATHSIG alone
does not see to that (a container can clear it), so init is killed by its pidfd here, and then there is nothing left to serve.
"""

from __future__ import annotations

import os
from _signal import SIGKILL, pidfd_send_signal  # type: ignore[import-not-found]  # signal itself costs an enum
from _socket import CMSG_LEN, MSG_CMSG_CLOEXEC, SCM_RIGHTS, SOL_SOCKET, socket
from contextlib import suppress
from errno import EINVAL
from struct import Struct

from slirp_net.json_packets import emit_object, parse_object
from slirp_net.loop import READABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from slirp_net.loop import Loop

    Operation = Callable[[dict[str, Any], list[int]], dict[str, Any]]

_LARGEST_PACKET: Final = 65536
_MOST_DESCRIPTORS: Final = 64
_INT: Final = Struct("i")


class Control:
    """The engine's requests; `operations` are those of the program besides guard and stop."""

    def __init__(self, descriptor: int, loop: Loop, operations: dict[str, Operation]) -> None:
        self._socket = socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._loop = loop
        self._guarded: int | None = None
        self._operations: dict[str, Operation] = {**operations, "guard": self._guard, "stop": self._stop}
        loop.watch(descriptor, READABLE, self._on_events)

    def _on_events(self, _events: int) -> None:
        try:
            packet, descriptors = self._receive()
        except BlockingIOError:
            return
        except ConnectionResetError:
            packet, descriptors = b"", []
        if not packet:
            self._on_end()
            return
        self._reply(self._perform(packet, descriptors))

    def _receive(self) -> tuple[bytes, list[int]]:
        packet, ancillary, _, _ = self._socket.recvmsg(_LARGEST_PACKET, CMSG_LEN(_MOST_DESCRIPTORS * _INT.size), MSG_CMSG_CLOEXEC)
        descriptors: list[int] = []
        for level, kind, content in ancillary:
            if level == SOL_SOCKET and kind == SCM_RIGHTS:
                whole = len(content) - len(content) % _INT.size
                descriptors += [number for (number,) in _INT.iter_unpack(content[:whole])]
        return packet, descriptors

    def _perform(self, packet: bytes, descriptors: list[int]) -> dict[str, Any]:
        """Do what a packet asks for and return the reply; what it does not use of `descriptors` is closed."""
        try:
            request = parse_object(packet)
            operation = self._operations.get(str(request.get("op")), _unknown)
            return {"ok": True, **operation(request, descriptors)}
        except OSError as error:
            return {"error": str(error), "errno": error.errno or EINVAL}
        except KeyError as error:
            return {"error": f"missing: {error.args[0]}", "errno": EINVAL}
        except (TypeError, ValueError) as error:
            return {"error": str(error), "errno": EINVAL}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _reply(self, reply: dict[str, Any]) -> None:
        # Nobody reads replies then; the end of file, if that is what it is, comes next.
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            self._socket.send(emit_object(reply))

    def _guard(self, _request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        if len(descriptors) != 1:
            raise ValueError("guard takes one descriptor, a pidfd")
        if self._guarded is not None:
            os.close(self._guarded)
        self._guarded = descriptors.pop()
        return {}

    def _stop(self, _request: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
        self._loop.stop()
        return {}

    def _on_end(self) -> None:
        if self._guarded is not None:
            with suppress(ProcessLookupError):  # it has already ended
                pidfd_send_signal(self._guarded, SIGKILL)
        self._loop.stop()


def _unknown(request: dict[str, Any], _descriptors: list[int]) -> dict[str, Any]:
    raise ValueError(f"unknown operation: {request.get('op')}")
