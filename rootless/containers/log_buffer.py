"""`--log-opt mode=non-blocking`: a process of its own writes the log, so that a slow disk or journal never stops the container.

The monitor passes output on over a socket pair, by `frames`: STDOUT and STDERR, then REQUEST when a run has ended, which is
answered by REPLY when all has been written. What that process does not take in time is kept, up to `max-buffer-size`; beyond that,
output is left out up to the end of a line, and the log says how much. The end of file ends the process; when it was killed, the
monitor writes the log.
"""

import os
from collections.abc import Callable
from typing import Final, NoReturn

from rootless.containers import frames
from rootless.containers.loop import WRITABLE, Loop
from rootless.containers.streams import Log
from rootless.linux.own_process import close_all_except, set_command_line, set_name
from rootless.linux.sockets import socket, stream_pair

_KINDS: Final = {"stdout": frames.STDOUT, "stderr": frames.STDERR}
_STREAMS: Final = {kind: stream for stream, kind in _KINDS.items()}
_RECEIVE_SIZE: Final = 1 << 18
_FLUSH_SECONDS: Final = 10.0
"""How long the container's end waits for its log."""


class BufferedLog:
    """A log behind a buffer of `most` bytes; `open_log` opens it, in the process that writes it."""

    def __init__(self, loop: Loop, most: int, open_log: Callable[[], Log]) -> None:
        """Raise what `open_log` raises."""
        self._loop = loop
        self._most = most
        self._left_out = {"stdout": 0, "stderr": 0}
        self._ends_line = {"stdout": True, "stderr": True}
        self._open_log = open_log
        self._log = open_log()  # which also shows that it can be
        self._is_own = False  # whether we write it, since the writer is gone
        ours, theirs = stream_pair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            _write_all(theirs, open_log)
        theirs.close()
        self._sock = ours
        self._sender = frames.Sender(ours)

    def write(self, stream: str, content: bytes) -> None:
        """Pass on what a stream wrote, or leave it out where the buffer is full."""
        if self._is_own:
            self._log.write(stream, content)
        elif len(self._sender.pending) + len(content) > self._most:
            self._left_out[stream] += len(content)
        else:
            if self._left_out[stream]:
                content = self._after_gap(stream, content)
            self._ends_line[stream] = content.endswith(b"\n")
            self._send(_KINDS[stream], content)

    def flush(self) -> None:
        """Wait until all is written, for a while."""
        if not self._is_own:
            for stream in _KINDS:
                if self._left_out[stream]:
                    self._send(_KINDS[stream], self._after_gap(stream, b""))
            self._send(frames.REQUEST, b"")
        if not self._is_own:
            self._wait_until_written()
        if self._is_own:
            self._log.flush()

    def _after_gap(self, stream: str, content: bytes) -> bytes:
        """Return what stands for the gap, and of `content` what follows the line that was cut."""
        notice = f"[log lost: {self._left_out[stream]} bytes, the buffer was full]\n".encode()
        self._left_out[stream] = 0
        return (b"" if self._ends_line[stream] else b"\n") + notice + content.partition(b"\n")[2]

    def _send(self, kind: int, content: bytes) -> None:
        had_backlog = bool(self._sender.pending)
        try:
            self._sender.send(kind, content)
        except (BrokenPipeError, ConnectionResetError):
            self._take_over()
            if content:
                self._log.write(_STREAMS[kind], content)
            return
        if self._sender.pending and not had_backlog:
            self._loop.watch(self._sock.fileno(), WRITABLE, lambda _events: self._drain())

    def _drain(self) -> None:
        try:
            self._sender.flush()
        except (BrokenPipeError, ConnectionResetError):
            self._take_over()
            return
        if not self._sender.pending:
            self._loop.forget(self._sock.fileno())

    def _wait_until_written(self) -> None:
        self._sock.settimeout(_FLUSH_SECONDS)
        try:
            self._sock.sendall(self._sender.pending)
            if not self._sock.recv(_RECEIVE_SIZE):
                self._take_over()
                return
        except TimeoutError:
            pass  # what is slow must not keep the container's end from being noted
        except (BrokenPipeError, ConnectionResetError):
            self._take_over()
            return
        self._loop.forget(self._sock.fileno())
        self._sender.pending.clear()
        self._sock.setblocking(False)

    def _take_over(self) -> None:
        """Write the log ourselves: its process was killed, and what it and the socket had is lost."""
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        self._log = self._open_log()
        self._is_own = True
        self._log.write("stderr", b"[log lost: the process that wrote it was killed]\n")


def _write_all(sock: socket, open_log: Callable[[], Log]) -> NoReturn:
    """Write what comes, until the monitor's end."""
    try:
        close_all_except({0, 1, 2, sock.fileno()})  # the container's lock above all
        set_name(b"rl-log")
        set_command_line(b"rl write log")
        log, decoder = open_log(), frames.Decoder()
        while received := sock.recv(_RECEIVE_SIZE):
            for kind, content in decoder.feed(received):
                if kind == frames.REQUEST:
                    log.flush()
                    sock.sendall(frames.encode(frames.REPLY))
                else:
                    log.write(_STREAMS[kind], content)
    finally:
        os._exit(0)
