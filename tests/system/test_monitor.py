"""A monitor and what may happen around it: its runtime directory, its clients, its records, its starter."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.engine import COMMAND, Engine, is_alive, wait_until
from tests.support.test_user import USER, drop_privileges

NONE = ("--network", "none")
HEADER = struct.Struct("!BI")


def _start(engine: Engine, *options: str, command: tuple[str, ...] = ("sleep", "1000")) -> int:
    """Start a container named box; returns its monitor's PID."""
    engine.rl("run", "-d", "--name", "box", *NONE, *options, "busybox", *command)
    pid: int = engine.record("box")["Rl"]["Monitor"][0]
    return pid


def test_a_runtime_directory_that_cannot_be_made_again(engine: Engine) -> None:
    """As after a log-out: the socket moves, and the container lives on."""
    monitor = _start(engine, command=("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done"))
    shutil.rmtree(engine.runtime_dir)
    engine.runtime_dir.write_text("in the way")
    os.chown(engine.runtime_dir, USER.pw_uid, USER.pw_gid)
    try:
        waiting = engine.start("wait", "box", stdout=subprocess.PIPE)
        wait_until(lambda: engine.record("box")["Rl"]["RuntimeDir"] == f"/tmp/rl-{USER.pw_uid}", 10, "the socket moved")
        assert engine.rl("exec", "box", "echo", "hi").stdout == "hi\n"
        assert is_alive(monitor)
        engine.rl("stop", "box")
        assert waiting.communicate(timeout=10)[0] == "3\n"
    finally:
        engine.runtime_dir.unlink()
    assert engine.state("box")["ExitCode"] == 3


def test_clients_that_talk_nonsense_are_dropped(engine: Engine) -> None:
    monitor = _start(engine, "-it")
    path = str(next(engine.runtime_dir.glob("*.sock")))
    attach = json.dumps({"op": "attach", "stdin": True}).encode()
    nonsense = [
        b"\xff" * 64,
        HEADER.pack(1, 1 << 31),
        HEADER.pack(255, 4) + b"null",
        *(_request(body) for body in (b"", b"[]", b"{", b"1", b'"op"', b"{}", b'{"op": []}', b"[" * 50_000)),
        _request(b'{"op": "resize", "rows": 1e400, "columns": 1}'),
        _request(b'{"op": "resize", "rows": 70000, "columns": 1}'),
        _request(b'{"op": "resize", "rows": -1, "columns": 1}'),
        _request(attach) + _request(attach) * 3,
    ]
    for content in nonsense:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(path)
            client.sendall(content)
            client.shutdown(socket.SHUT_WR)
            while client.recv(1 << 16):
                pass
    assert is_alive(monitor)
    assert engine.rl("exec", "box", "echo", "hi").stdout == "hi\n"


def _request(body: bytes) -> bytes:
    from rootless.containers import frames

    return frames.encode(frames.REQUEST, body)


def test_more_clients_than_open_files(engine: Engine) -> None:
    limit = 64
    script = f'ulimit -Sn {limit}; exec "$@"'
    command = ["sh", "-c", script, "sh", *COMMAND, "run", "-d", "--name", "box", *NONE, "busybox", "sleep", "1000"]
    options = {"env": engine.environment, "cwd": engine.folder, "stdout": subprocess.DEVNULL, **drop_privileges()}
    subprocess.run(command, check=True, **options)  # type: ignore[call-overload]
    monitor: int = engine.record("box")["Rl"]["Monitor"][0]
    path = str(next(engine.runtime_dir.glob("*.sock")))
    clients = []
    for _number in range(limit + 8):
        client = socket.socket(socket.AF_UNIX)
        client.connect(path)
        clients.append(client)
    time.sleep(0.2)
    assert is_alive(monitor)
    before = _cpu_ticks(monitor)
    time.sleep(0.5)
    assert _cpu_ticks(monitor) - before < 20, "the monitor is busy with a connection that it cannot take"
    for client in clients:
        client.close()
    waiting = engine.start("wait", "box", stdout=subprocess.PIPE)
    engine.rl("kill", "box")
    assert waiting.communicate(timeout=10)[0] == "137\n"


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_forced_remove_of_a_container_that_is_starting(engine: Engine) -> None:
    for milliseconds in range(0, 60, 6):
        starting = engine.start("run", "--name", "box", *NONE, "busybox", "sleep", "1000", stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.lexists(engine.data_root / "names" / "box"))
        time.sleep(milliseconds / 1000)
        engine.rl("rm", "-f", "box")
        assert starting.wait(20) in (125, 137)
        assert engine.rl("ps", "-aq").stdout == ""


def test_the_second_of_two_starts_is_refused_at_once(engine: Engine) -> None:
    _start(engine)
    began = time.monotonic()
    assert "already running" in engine.rl("start", "box", check=1).stderr
    assert time.monotonic() - began < 3


def test_a_damaged_record_is_named_and_harms_no_other(engine: Engine) -> None:
    engine.rl("run", "--name", "good", *NONE, "busybox", "true")
    for number, content in enumerate(("", "[]", "{}", '{"Id": 1}', '{"State": {"Running": "yes"}}', "\xff\0")):
        engine.rl("run", "--name", f"bad{number}", *NONE, "busybox", "true")
        container_id = os.readlink(engine.data_root / "names" / f"bad{number}")
        (engine.data_root / "containers" / container_id / "container.json").write_text(content)
        listed = engine.rl("ps", "-a")
        assert "good" in listed.stdout
        assert f"the record of container {container_id[:12]} is damaged" in listed.stderr
        assert "damaged" in engine.rl("rm", container_id, check=1).stderr
        engine.rl("rm", "-f", container_id)
        assert engine.rl("ps", "-a").stderr == ""
        assert not os.path.lexists(engine.data_root / "names" / f"bad{number}")
    engine.rl("rm", "good")


def test_names_are_found_again_when_their_folder_is_lost(engine: Engine) -> None:
    engine.rl("run", "--name", "box", *NONE, "busybox", "true")
    shutil.rmtree(engine.data_root / "names")
    assert "already in use" in engine.rl("run", "--name", "box", *NONE, "busybox", "true", check=125).stderr
    engine.rl("rm", "box")


def test_what_killed_commands_left_is_collected(engine: Engine) -> None:
    folder, stale = engine.data_root / "containers" / ("a" * 64), engine.runtime_dir / "aaaa.sock"
    trashed = engine.data_root / "trash" / "left"
    engine.rl("run", "--name", "box", *NONE, "busybox", "true")
    engine.python("-c", f"import os; os.makedirs('{folder}/upper'); os.makedirs('{trashed}/x')")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(stale))
    os.chown(stale, USER.pw_uid, USER.pw_gid)
    long_ago = time.time() - 3600
    for path in (folder, stale):
        os.utime(path, (long_ago, long_ago))
    engine.rl("rm", "box")
    assert not folder.exists()
    assert not stale.exists()
    assert not trashed.exists()


def test_a_helper_that_is_stuck_is_killed_at_the_end(engine: Engine) -> None:
    engine.rl("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    stack = engine.helper("box", "slirp_net")
    os.kill(stack, signal.SIGSTOP)
    engine.rl("kill", "box")
    wait_until(lambda: not engine.processes(), 10, "the monitor and its helper have ended")
    assert engine.state("box")["ExitCode"] == 137


@pytest.mark.parametrize("moment", ["guarded", "at once"])
def test_a_stack_that_dies_again_and_again(engine: Engine, moment: str) -> None:
    """Its requests then meet a closed socket, which must not end the container."""
    monitor = _started_with_network(engine)
    for _time in range(6):
        pids = [pid for pid, line in engine.processes() if "-m slirp_net" in line]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.3 if moment == "guarded" else 0.02)
    assert is_alive(monitor)
    assert engine.rl("exec", "box", "echo", "hi").stdout == "hi\n"


def _started_with_network(engine: Engine) -> int:
    engine.rl("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    pid: int = engine.record("box")["Rl"]["Monitor"][0]
    return pid
