"""The attachment against a real terminal or real pipes on one side, and a monitor played by the test on the other."""

import contextlib
import fcntl
import json
import os
import pickle
import select
import signal
import struct
import termios
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cli.attachment import Outcome, attach
from rootless.containers import frames
from rootless.errors import InvalidInput
from rootless.linux.sockets import socket, stream_pair

PATIENCE = 10.0


class Client:
    """A child process that is attached, with our ends of its streams."""

    def __init__(self, pid: int, monitor: socket, stdin: int, stdout: int, stderr: int, result: int) -> None:
        self.pid, self.monitor, self.stdin, self.stdout, self.stderr, self._result = pid, monitor, stdin, stdout, stderr, result
        self.decoder = frames.Decoder()
        self.frames: list[tuple[int, bytes]] = []
        self.status: int | None = None
        self._outcome: Outcome | None = None

    def send(self, kind: int, payload: bytes = b"") -> None:
        self.monitor.sendall(frames.encode(kind, payload))

    def end(self, status: int = 0, error: str = "") -> None:
        self.send(frames.EXIT, json.dumps({"status": status, "error": error}).encode())

    def frame(self) -> tuple[int, bytes]:
        """Return the next frame that the client sent."""
        while not self.frames:
            assert select.select([self.monitor.fileno()], [], [], PATIENCE)[0], "the client sent nothing"
            received = self.monitor.recv(1 << 18)
            assert received, "the client hung up"
            self.frames.extend(self.decoder.feed(received))
        return self.frames.pop(0)

    def outcome(self) -> Outcome:
        """Wait for the end and return what `attach` returned."""
        if self._outcome is None:
            self.wait()
            assert self.status == 0
            with open(self._result, "rb", closefd=False) as file:
                self._outcome = pickle.load(file)
        return self._outcome

    def wait(self) -> int:
        """Wait for the end and return the child's wait status."""
        deadline = time.monotonic() + PATIENCE
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = status
            assert time.monotonic() < deadline, "the client does not end"
            time.sleep(0.002)
        return self.status

    def forwarded(self) -> int:
        """Return the number of the next signal that was forwarded."""
        assert select.select([self._result], [], [], PATIENCE)[0], "no signal was forwarded"
        return os.read(self._result, 1)[0]


class Forwarder:
    """Tells the test which signals were forwarded."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, number: int) -> None:
        os.write(self._descriptor, bytes([number]))


def read_all(descriptor: int, size: int) -> bytes:
    content = b""
    while len(content) < size:
        assert select.select([descriptor], [], [], PATIENCE)[0], f"only {len(content)} bytes came: {content[-80:]!r}"
        piece = os.read(descriptor, 1 << 16)
        assert piece, f"the end after {len(content)} bytes"
        content += piece
    return content


@contextlib.contextmanager
def attached(
    stdio: tuple[int, int, int], ours: tuple[int, int, int], *, stdin: bool = True, tty: bool = False,
    keys: str = "ctrl-p,ctrl-q", forward: bool = True, controlling: bool = False,
) -> Iterator[Client]:  # fmt: skip
    """Run `attach` in a child with these standard streams."""
    monitor, theirs = stream_pair()
    result_reading, result_writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.setsid()
            for target, descriptor in enumerate(stdio):
                os.dup2(descriptor, target)
            if controlling:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            for descriptor in set(ours):
                os.close(descriptor)
            monitor.close()
            callback = Forwarder(result_writing) if forward else None
            outcome = attach(theirs, stdin=stdin, tty=tty, detach_keys=keys, forward_signal=callback)
            os.write(result_writing, pickle.dumps(outcome))
            status = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(status)
    theirs.close()
    os.close(result_writing)
    for descriptor in set(stdio):
        os.close(descriptor)
    client = Client(pid, monitor, *ours, result_reading)
    try:
        assert client.frame() == (frames.REQUEST, json.dumps({"op": "attach", "stdin": stdin, "output": True}).encode())
        yield client
    finally:
        if client.status is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        monitor.close()
        os.close(result_reading)


@contextlib.contextmanager
def piped(**options: Any) -> Iterator[Client]:
    """Attach a child whose streams are pipes."""
    (in_read, in_write), (out_read, out_write), (err_read, err_write) = os.pipe(), os.pipe(), os.pipe()
    ours = [in_write, out_read, err_read]
    with attached((in_read, out_write, err_write), (in_write, out_read, err_read), **options) as client:
        try:
            yield client
        finally:
            for descriptor in ours:
                with contextlib.suppress(OSError):  # some tests close one
                    os.close(descriptor)


@contextlib.contextmanager
def on_terminal(**options: Any) -> Iterator[Client]:
    """Attach a child whose streams are one terminal; ours is the master."""
    master, slave = os.openpty()
    set_size(master, 24, 80)
    with attached((slave, slave, slave), (master, master, master), tty=True, controlling=True, **options) as client:
        try:
            yield client
        finally:
            with contextlib.suppress(OSError):  # some tests close it
                os.close(master)


def set_size(descriptor: int, rows: int, columns: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def local_flags(descriptor: int) -> int:
    return termios.tcgetattr(descriptor)[3]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def wait_for_raw_mode(client: Client) -> None:
    wait_for(lambda: not local_flags(client.stdin) & termios.ICANON)


def test_streams_and_status() -> None:
    with piped() as client:
        os.write(client.stdin, b"typed\0\xff")
        assert client.frame() == (frames.STDIN, b"typed\0\xff")
        client.send(frames.REPLY, b"{}")
        client.send(frames.STDOUT, b"out\0\xff")
        client.send(frames.STDERR, b"err")
        assert read_all(client.stdout, 5) == b"out\0\xff"
        assert read_all(client.stderr, 3) == b"err"
        os.close(client.stdin)
        assert client.frame() == (frames.STDIN_END, b"")
        client.end(7, "said the engine")
        assert client.outcome() == Outcome(7, error="said the engine")


def test_detach_keys_mean_nothing_without_a_terminal() -> None:
    with piped() as client:
        os.write(client.stdin, b"\x10\x11")
        assert client.frame() == (frames.STDIN, b"\x10\x11")


def test_without_stdin_nothing_is_read() -> None:
    with piped(stdin=False) as client:
        os.write(client.stdin, b"typed")
        client.send(frames.STDOUT, b"x")
        read_all(client.stdout, 1)
        assert not select.select([client.monitor.fileno()], [], [], 0.05)[0]
        client.end()
        assert client.outcome() == Outcome(0)


def test_frames_byte_by_byte() -> None:
    with piped() as client:
        for byte in frames.encode(frames.STDOUT, b"hello") + frames.encode(frames.EXIT, b'{"status": 3, "error": ""}'):
            client.monitor.sendall(bytes([byte]))
        assert client.outcome() == Outcome(3)
        assert read_all(client.stdout, 5) == b"hello"


def test_a_refusal_is_raised_after_the_terminal_is_restored() -> None:
    with on_terminal() as client:
        wait_for_raw_mode(client)
        client.send(frames.REPLY, b'{"error": "no", "kind": "InUse", "hint": null}')
        assert client.wait() == 1 << 8
        assert b"rootless.errors.InUse: no" in os.read(client.stderr, 1 << 16)
        assert local_flags(client.stdin) & termios.ICANON


@pytest.mark.parametrize("garbage", [b"\xff" * 64, frames.encode(frames.EXIT, b"{"), frames.encode(frames.STDIN, b"x")])
def test_a_monitor_that_breaks_the_protocol(garbage: bytes) -> None:
    with piped() as client:
        client.monitor.sendall(garbage)
        assert "sent something unknown" in client.outcome().error


def test_a_monitor_that_dies() -> None:
    with piped() as client:
        client.send(frames.STDOUT, b"last words")
        client.monitor.close()
        assert client.outcome() == Outcome(error="the container's monitor is gone")
        assert read_all(client.stdout, 10) == b"last words"


def test_a_monitor_that_ends_while_much_is_typed() -> None:
    """Its EXIT is received, though sending to it fails."""
    with piped() as client:
        client.end(5)
        client.monitor.shutdown(2)
        with contextlib.suppress(BrokenPipeError):
            os.write(client.stdin, b"x" * 1000)
        assert client.outcome().status == 5


def test_a_slow_reader_slows_the_monitor_and_loses_nothing() -> None:
    content = bytes(range(256)) * 256
    with piped() as client:
        sent = 0
        client.monitor.setblocking(False)
        frame = frames.encode(frames.STDOUT, content)
        backlog = b""
        with contextlib.suppress(BlockingIOError):
            while sent < 100 << 20:
                backlog = backlog or frame
                backlog = backlog[client.monitor.send(backlog) :]
                sent += not backlog
                time.sleep(0)
        time.sleep(0.1)
        assert sent * len(content) < 4 << 20, "the client took all that and keeps it in memory"
        client.monitor.setblocking(True)
        pid = os.fork()
        if pid == 0:
            client.monitor.sendall(backlog)
            client.end(0)
            os._exit(0)
        total = (sent + bool(backlog)) * len(content)
        assert read_all(client.stdout, total) == content * (total // len(content))
        os.waitpid(pid, 0)
        assert client.outcome() == Outcome(0)


def test_a_slow_container_slows_our_input() -> None:
    with piped() as client:
        os.set_blocking(client.stdin, False)
        written = 0
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            try:
                written += os.write(client.stdin, b"x" * 65536)
            except BlockingIOError:
                time.sleep(0.01)
        assert written < 2 << 20
        os.close(client.stdin)
        total = 0
        while (received := client.frame())[0] == frames.STDIN:
            total += len(received[1])
        assert total == written
        assert received[0] == frames.STDIN_END


def test_the_order_of_output_and_errors_on_one_pipe() -> None:
    """Kept even where the pipe is full most of the time."""
    (in_read, in_write), (out_read, out_write) = os.pipe(), os.pipe()
    pieces = [bytes([65 + number % 26]) * 30_000 for number in range(40)]
    with attached((in_read, out_write, out_write), (in_write, out_read, out_read)) as client:
        pid = os.fork()
        if pid == 0:
            for number, piece in enumerate(pieces):
                client.send(frames.STDERR if number % 2 else frames.STDOUT, piece)
            client.end()
            os._exit(0)
        assert read_all(out_read, 1_200_000) == b"".join(pieces)
        os.waitpid(pid, 0)
        assert client.outcome() == Outcome(0)
    os.close(in_write)
    os.close(out_read)


def test_our_streams_stay_blocking() -> None:
    with piped() as client:
        client.send(frames.STDOUT, b"x" * 500_000)
        client.end()
        # Same open file description as the child's, through /proc.
        for number in (0, 1, 2):
            with open(f"/proc/{client.pid}/fdinfo/{number}") as info:
                flags = int(next(line for line in info if line.startswith("flags")).split()[1], 8)
            assert not flags & os.O_NONBLOCK
        read_all(client.stdout, 500_000)
        assert client.outcome() == Outcome(0)


def test_output_that_nobody_reads() -> None:
    with piped() as client:
        os.close(client.stdout)
        client.send(frames.STDOUT, b"x")
        outcome = client.outcome()
        assert outcome.status is None
        assert "nobody reads our output" in outcome.error


@pytest.mark.parametrize("kind", ["file", "socket"])
def test_output_to_other_things(kind: str, tmp_path: object) -> None:
    content = os.urandom(300_000)
    if kind == "file":
        target = os.open(f"{tmp_path}/out", os.O_RDWR | os.O_CREAT | os.O_APPEND)
        reading = os.open(f"{tmp_path}/out", os.O_RDONLY)
    else:
        one, other = stream_pair()
        target, reading = one.detach(), other.detach()
    in_read, in_write = os.pipe()
    with attached((in_read, target, target), (in_write, reading, reading)) as client:
        pid = os.fork()
        if pid == 0:
            client.send(frames.STDOUT, content)
            client.end()
            os._exit(0)
        if kind == "file":
            assert client.outcome() == Outcome(0)
        assert read_all(reading, len(content)) == content
        os.waitpid(pid, 0)
        assert client.outcome() == Outcome(0)
    os.close(in_write)
    os.close(reading)


def test_input_from_a_file(tmp_path: object) -> None:
    with open(f"{tmp_path}/in", "wb") as file:
        file.write(b"z" * 200_000)
    source = os.open(f"{tmp_path}/in", os.O_RDONLY)
    out_read, out_write = os.pipe()
    with attached((source, out_write, out_write), (out_read, out_read, out_read)) as client:
        total = 0
        while (received := client.frame())[0] == frames.STDIN:
            total += len(received[1])
        assert total == 200_000
        client.end()
        assert client.outcome() == Outcome(0)
    os.close(out_read)


def test_signals_are_forwarded_without_a_terminal() -> None:
    with piped() as client:
        client.send(frames.STDOUT, b"x")
        read_all(client.stdout, 1)  # its loop runs
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGQUIT, signal.SIGRTMIN + 3):
            os.kill(client.pid, number)
            assert client.forwarded() == number
        for number in (signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG):
            os.kill(client.pid, number)
        os.kill(client.pid, signal.SIGTERM)
        assert client.forwarded() == signal.SIGTERM
        os.kill(client.pid, signal.SIGHUP)
        assert os.WTERMSIG(client.wait()) == signal.SIGHUP


def test_signals_end_us_where_nothing_forwards_them() -> None:
    with piped(forward=False) as client:
        client.send(frames.STDOUT, b"x")
        read_all(client.stdout, 1)
        os.kill(client.pid, signal.SIGTERM)
        assert os.WTERMSIG(client.wait()) == signal.SIGTERM


def test_a_terminal_is_raw_and_then_restored() -> None:
    master, slave = os.openpty()
    before = termios.tcgetattr(slave)
    os.close(master)
    os.close(slave)
    with on_terminal() as client:
        wait_for_raw_mode(client)
        os.write(client.stdin, b"\x03\x1a\r\n\x04\xff")
        assert client.frame() == (frames.RESIZE, b'{"rows":24,"columns":80}')
        assert client.frame() == (frames.STDIN, b"\x03\x1a\r\n\x04\xff")
        client.send(frames.STDOUT, b"a\nb")
        assert read_all(client.stdout, 3) == b"a\nb"
        client.end(9)
        assert client.outcome() == Outcome(9)
        assert termios.tcgetattr(client.stdin) == before


def test_the_window_size_follows() -> None:
    with on_terminal() as client:
        assert client.frame() == (frames.RESIZE, b'{"rows":24,"columns":80}')
        wait_for_raw_mode(client)
        set_size(client.stdin, 50, 132)  # the kernel sends SIGWINCH to the terminal's foreground process group
        assert client.frame() == (frames.RESIZE, b'{"rows":50,"columns":132}')
        client.end()
        assert client.outcome() == Outcome(0)


def test_detach_keys() -> None:
    with on_terminal() as client:
        client.frame()
        wait_for_raw_mode(client)
        os.write(client.stdin, b"ab\x10")
        assert client.frame() == (frames.STDIN, b"ab")
        os.write(client.stdin, b"c\x10")
        assert client.frame() == (frames.STDIN, b"\x10c")
        os.write(client.stdin, b"\x11ignored")
        assert client.outcome() == Outcome(detached=True)
        assert local_flags(client.stdin) & termios.ICANON


def test_other_detach_keys() -> None:
    with on_terminal(keys="q") as client:
        client.frame()
        wait_for_raw_mode(client)
        os.write(client.stdin, b"\x10\x11")
        assert client.frame() == (frames.STDIN, b"\x10\x11")
        os.write(client.stdin, b"q")
        assert client.outcome() == Outcome(detached=True)


def test_invalid_detach_keys() -> None:
    one, other = stream_pair()
    with pytest.raises(InvalidInput):
        attach(one, stdin=True, tty=True, detach_keys="ctrl-", forward_signal=None)
    one.close()
    other.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_us_after_the_terminal_is_restored(number: int) -> None:
    with on_terminal() as client:
        wait_for_raw_mode(client)
        os.kill(client.pid, number)
        assert os.WTERMSIG(client.wait()) == number
        assert local_flags(client.stdin) & termios.ICANON


def test_raw_mode_comes_back_after_a_stop() -> None:
    with on_terminal() as client:
        client.frame()
        wait_for_raw_mode(client)
        os.kill(client.pid, signal.SIGSTOP)
        os.waitpid(client.pid, os.WUNTRACED)
        modes = termios.tcgetattr(client.stdin)
        modes[3] |= termios.ICANON
        termios.tcsetattr(client.stdin, termios.TCSANOW, modes)
        os.kill(client.pid, signal.SIGCONT)
        wait_for_raw_mode(client)
        assert client.frame()[0] == frames.RESIZE
        client.end()
        assert client.outcome() == Outcome(0)


def test_a_closed_terminal_ends_us_and_nothing_is_sent() -> None:
    with on_terminal() as client:
        client.frame()
        wait_for_raw_mode(client)
        os.close(client.stdin)
        status = client.wait()
        assert status == 0 or os.WTERMSIG(status) == signal.SIGHUP
        client.monitor.setblocking(False)
        assert client.monitor.recv(100) == b""


def test_a_terminal_without_input_is_not_raw() -> None:
    with on_terminal(stdin=False) as client:
        assert client.frame() == (frames.RESIZE, b'{"rows":24,"columns":80}')
        os.write(client.stdin, b"\x03")  # the terminal makes it SIGINT
        assert client.forwarded() == signal.SIGINT
        assert local_flags(client.stdin) & termios.ICANON
        client.end()
        assert client.outcome() == Outcome(0)
