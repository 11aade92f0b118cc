"""Attached clients and followers: every byte in its order, also where one is slow; several at a time; signals passed on or not.

contrib/stress/streams sends a GiB.
"""

import hashlib
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import COMMAND, Engine, wait_until
from tests.support.test_user import drop_privileges

NONE = ("--network", "none")
MIB = int(os.environ.get("RL_TEST_STREAM_MIB", "48"))
_PIECE_MIB = 16
_SLOW = 0.0005  # seconds between two reads of 64 KiB: some 100 MiB/s at most, slower than the container writes


def _content() -> bytes:
    """Return text with every byte value in it, in all orders of two."""
    pairs = bytes(byte for first in range(256) for second in range(256) for byte in (first, second))
    lines = b"".join(b"%d: a line of text, as most of what passes is\n" % number for number in range(20_000))
    piece = lines + pairs
    return (piece * (_PIECE_MIB * (1 << 20) // len(piece) + 1))[: _PIECE_MIB << 20]


class _Reader(threading.Thread):
    """Reads a command's output to its end, slowly or not, and sums it up."""

    def __init__(self, process: "subprocess.Popen[bytes]", *, pause: float = 0) -> None:
        super().__init__()
        self._process = process
        self._pause = pause
        self.received = 0
        self.digest = hashlib.sha256()

    def run(self) -> None:
        assert self._process.stdout is not None
        while content := os.read(self._process.stdout.fileno(), 1 << 16):
            self.digest.update(content)
            self.received += len(content)
            time.sleep(self._pause)


def _start(engine: Engine, *arguments: str, **options: Any) -> "subprocess.Popen[bytes]":
    given = {"env": engine.environment, "cwd": engine.folder, "stdout": subprocess.PIPE, **drop_privileges(), **options}
    return subprocess.Popen([*COMMAND, *arguments], **given)


@pytest.mark.parametrize("driver", ["json-file", "k8s-file"])
def test_all_bytes_arrive_in_order_through_attach_and_logs(engine: Engine, driver: str) -> None:
    content, times = _content(), max(MIB // _PIECE_MIB, 1)
    source = engine.folder / "home" / "content"
    source.write_bytes(content)
    expected = hashlib.sha256()
    for _time in range(times):
        expected.update(content)
    script = f"read go; i=0; while [ $i -lt {times} ]; do cat /content; i=$((i+1)); done"
    options = ("--log-driver", driver, "-v", f"{source}:/content:ro")
    engine.rl("run", "-di", "--name", "box", *NONE, *options, "busybox", "sh", "-c", script)
    processes = [
        _start(engine, "attach", "--no-stdin", "box"),
        _start(engine, "attach", "--no-stdin", "box"),
        _start(engine, "logs", "-f", "box"),
    ]
    readers = [_Reader(processes[0], pause=_SLOW), _Reader(processes[1]), _Reader(processes[2], pause=_SLOW)]
    for reader in readers:
        reader.start()
    _wait_until_attached(*processes[:2])
    _start(engine, "attach", "box", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL).communicate(b"go\n", 900)
    for reader in readers:
        reader.join(900)
    processes.append(_start(engine, "logs", "box"))
    after = _Reader(processes[-1], pause=_SLOW)
    after.run()
    for process in processes:
        with process:
            assert process.wait(60) == 0
    for reader in (*readers, after):
        assert (reader.received, reader.digest.digest()) == (len(content) * times, expected.digest())


def _is_attached(process: "subprocess.Popen[Any]") -> bool:
    """Tell whether a command that passes signals on is attached: it catches them just before it asks, and then waits."""
    fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if ":\t" in line)
    return bool(int(fields["SigCgt"], 16) >> signal.SIGTERM - 1 & 1) and fields["State"].startswith("S")


def _wait_until_attached(*processes: "subprocess.Popen[Any]") -> None:
    wait_until(lambda: all(map(_is_attached, processes)), what="they are attached")


def test_an_attached_client_that_stops_reading_holds_only_output_back_and_its_end_frees_it(engine: Engine) -> None:
    script = "read go; i=0; while [ $i -lt 64 ]; do head -c 262144 /dev/zero; i=$((i+1)); done; echo; touch /done"
    engine.rl("run", "-di", "--name", "box", *NONE, "busybox", "sh", "-c", script)
    stuck = _start(engine, "attach", "--no-stdin", "box")
    _wait_until_attached(stuck)
    other = engine.start("attach", "box", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert other.stdin is not None
    other.stdin.write("go\n")
    other.stdin.flush()
    assert engine.rl("exec", "box", "echo", "alive").stdout == "alive\n"  # the container and its monitor go on
    assert engine.rl("inspect", "-f", "{{.State.Status}}", "box").stdout == "running\n"
    stuck.kill()
    stuck.communicate()
    other.stdin.close()
    assert other.wait(30) == 0


def test_what_is_typed_by_several_arrives_and_all_see_it(engine: Engine) -> None:
    engine.rl("run", "-di", "--name", "box", *NONE, "busybox", "sh", "-c", "read a; read b; echo $a-$b")
    first = engine.start("attach", "box", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    second = engine.start("attach", "box", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    _wait_until_attached(first, second)
    assert first.stdin is not None
    first.stdin.write("one\n")
    first.stdin.flush()
    time.sleep(0.2)
    assert second.communicate("two\n", timeout=20)[0] == "one-two\n"
    assert first.communicate(timeout=20)[0] == "one-two\n"


@pytest.mark.parametrize("verb", ["run", "start", "attach"])
def test_signals_are_the_command_s_own_without_sig_proxy(engine: Engine, verb: str) -> None:
    script = ("busybox", "sh", "-c", "trap 'echo caught; exit 3' TERM; echo ready; sleep 100 & wait")
    if verb == "run":
        arguments: tuple[str, ...] = ("run", "--sig-proxy=false", "--name", "box", *NONE, *script)
    elif verb == "start":
        engine.rl("create", "--name", "box", *NONE, *script)
        arguments = ("start", "-a", "--sig-proxy=false", "box")
    else:
        engine.rl("run", "-d", "--name", "box", *NONE, *script)
        arguments = ("attach", "--sig-proxy=false", "box")
    process = engine.start(*arguments, stdout=subprocess.PIPE)
    wait_until(lambda: engine.rl("logs", "box", check=None).stdout == "ready\n", what="it runs")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == -signal.SIGTERM
    assert engine.state("box")["Running"]
    proxied = engine.start("attach", "box", stdout=subprocess.PIPE)
    _wait_until_attached(proxied)
    proxied.send_signal(signal.SIGTERM)
    assert proxied.communicate(timeout=20)[0] == "caught\n"
    assert proxied.returncode == 3


def test_only_the_streams_that_are_asked_for_are_attached(engine: Engine) -> None:
    script = ("busybox", "sh", "-c", "echo out; echo err >&2; cat")
    result = engine.rl("run", "--rm", "-a", "stdout", *NONE, *script)
    assert (result.stdout, result.stderr) == ("out\n", "")
    result = engine.rl("run", "--rm", "-ia", "STDERR", "-a", "stdin", *NONE, *script, stdin="in")
    assert (result.stdout, result.stderr) == ("", "err\n")
    result = engine.rl("run", "-i", "--name", "box", "-a", "stdin", *NONE, *script, stdin="in")
    assert result.stdout.strip() == engine.record("box")["Id"]
    shown = engine.rl("logs", "box")
    assert (shown.stdout, shown.stderr) == ("out\nin", "err\n")
    attached = "{{.Config.AttachStdin}} {{.Config.AttachStdout}} {{.Config.AttachStderr}}"
    assert engine.rl("inspect", "-f", attached, "box").stdout == "true false false\n"
    assert "cannot specify both" in engine.rl("run", "-d", "-a", "stdout", *NONE, *script, check=125).stderr
    assert "invalid stream to attach: 'x'" in engine.rl("run", "-a", "x", *NONE, *script, check=125).stderr
