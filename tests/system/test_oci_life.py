"""`rl oci`: states, errors of illegal operations, killed commands, and what the options of runc's command line do."""

import array
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import is_alive, wait_until
from tests.support.oci_bundle import OURS, Runtime, config
from tests.support.terminal import Terminal
from tests.support.test_user import USER

pytestmark = pytest.mark.engine


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    made = Runtime()
    yield made
    made.close()


def test_operations_in_states_that_forbid_them(runtime: Runtime) -> None:
    runtime.write(config("sleep", "100"))
    for verb in ("start", "state", "kill", "delete", "ps"):
        assert "does not exist" in runtime.run(verb, "one", check=1).stderr
    runtime.create("one")
    assert "exists already" in runtime.run("create", "one", check=1).stderr
    assert "created" in runtime.run("exec", "one", "true", check=1).stderr
    runtime.run("start", "one")
    assert "running" in runtime.run("start", "one", check=1).stderr
    assert "running" in runtime.run("delete", "one", check=1).stderr
    runtime.run("kill", "--all", "one", "SIGKILL")
    runtime.wait_for("one", "stopped")
    for verb, word in (("start", "stopped"), ("kill", "not running")):
        assert word in runtime.run(verb, "one", check=1).stderr
    assert "stopped" in runtime.run("exec", "one", "true", check=1).stderr
    assert "invalid container ID" in runtime.run("state", "../one", check=1).stderr


def test_a_container_that_was_never_started_can_be_deleted(runtime: Runtime) -> None:
    runtime.write(config("sleep", "100"))
    runtime.create("one")
    pid = runtime.state("one")["pid"]
    runtime.run("delete", "one")
    wait_until(lambda: not is_alive(pid))


def test_a_created_container_can_be_killed(runtime: Runtime) -> None:
    runtime.write(config("sleep", "100"))
    runtime.create("one")
    runtime.run("kill", "one", "9")
    runtime.wait_for("one", "stopped")


def test_a_killed_create_leaves_a_stopped_container_at_most(runtime: Runtime) -> None:
    hook = {"path": "/bin/sleep", "args": ["sleep", "1000"]}
    runtime.write({**config("true"), "hooks": {"createRuntime": [hook]}})
    process = runtime.start("create", "one", stdin=subprocess.DEVNULL)
    wait_until(lambda: runtime.run("state", "one", check=None).stdout.count("creating"))
    assert "created" in runtime.run("delete", "one", check=1).stderr
    process.kill()
    process.wait()
    assert runtime.state("one")["status"] == "stopped"
    runtime.run("delete", "one")
    for pid in _pids_of("sleep 1000", runtime):
        os.kill(pid, signal.SIGKILL)


def test_a_reused_pid_is_not_taken_for_the_container(runtime: Runtime) -> None:
    runtime.write(config("true"))
    runtime.create("one")
    init = runtime.state("one")["pid"]
    record = runtime.root / "one" / "state.json"
    document = json.loads(record.read_text())
    runtime.run("kill", "one", "KILL")
    wait_until(lambda: not is_alive(init))
    document["init"] = [os.getpid(), document["init"][1]]
    record.write_text(json.dumps(document))
    assert runtime.state("one")["status"] == "stopped"
    runtime.run("delete", "one")


def test_a_process_that_cannot_be_run_fails_create(runtime: Runtime) -> None:
    for command, text in (("no-such-command", "executable file not found in $PATH"), ("/etc", "permission denied")):
        runtime.write(config(command))
        assert text in runtime.run("create", "one", check=1).stderr
        assert runtime.run("list", "-q").stdout == ""


def test_errors_go_to_the_log_in_json(runtime: Runtime) -> None:
    runtime.run("--log", "log", "--log-format", "json", "state", "one", check=1)
    (line,) = (runtime.bundle / "log").read_text().splitlines()
    assert json.loads(line)["level"] == "error"
    assert "container one does not exist" in json.loads(line)["msg"]


def test_the_console_socket_gets_the_terminal(runtime: Runtime) -> None:
    size = {"height": 40, "width": 90}
    runtime.write(config("sh", "-c", "tty; stty size; read line; echo got $line", terminal=True, consoleSize=size))
    master, _name = _create_with_console(runtime, "create", "one")
    with open(master, "r+b", buffering=0) as terminal:
        runtime.run("start", "one")
        assert _read_until(terminal, b"40 90") == b"/dev/pts/0\r\n40 90"
        terminal.write(b"hello\n")
        assert b"got hello" in _read_until(terminal, b"got hello")
    assert "--console-socket" in runtime.run("create", "two", check=1).stderr
    assert runtime.run("list", "-q").stdout == "one\n"


def test_a_terminal_in_the_foreground(runtime: Runtime) -> None:
    runtime.write(config("sh", "-c", "tty; stty size; read line; echo got-$line; exit 6", terminal=True))
    command = [*OURS, "--root", str(runtime.root), "run", "-b", str(runtime.bundle), "one"]
    with Terminal(runtime.folder, command, runtime.environment, columns=80, rows=24) as terminal:
        terminal.wait_for("24 80")
        terminal.enter("hello")
        terminal.wait_for("got-hello")
        assert terminal.wait_for_end() == 6


def test_descriptors_are_preserved_and_no_others(runtime: Runtime) -> None:
    runtime.write(config("sh", "-c", "for f in /proc/self/fd/*; do echo ${f##*/}; done; cat <&4; echo $LISTEN_FDS $LISTEN_PID"))
    reading, writing = os.pipe()
    os.write(writing, b"piped\n")
    os.close(writing)
    redirected = f'exec "$@" 3</dev/null 4<&{reading} 5</dev/null 6</dev/null'
    command = ["bash", "-c", redirected, "bash", *OURS, "--root", str(runtime.root)]
    options: dict[str, Any] = {"user": USER.pw_uid, "group": USER.pw_gid} if os.getuid() == 0 else {}
    result = subprocess.run(
        [*command, "run", "--preserve-fds", "1", "one"],
        env={**runtime.environment, "LISTEN_FDS": "1"}, cwd=runtime.bundle, pass_fds=[reading], capture_output=True, text=True,
        check=True, **options,
    )  # fmt: skip
    os.close(reading)
    listed = result.stdout.split()
    assert listed[:5] == ["0", "1", "2", "3", "4"]
    assert listed[-3:] == ["piped", "1", "1"]
    assert "6" not in listed[:-3]
    assert "descriptor 3" in runtime.run("run", "--preserve-fds", "1", "one", check=1).stderr


def test_exec_options(runtime: Runtime) -> None:
    capabilities = {name: ["CAP_KILL"] for name in ("bounding", "effective", "permitted")}
    runtime.write(config("sleep", "100", capabilities=capabilities))
    runtime.create("one")
    runtime.run("start", "one")
    script = "pwd; echo $A; grep CapEff /proc/self/status"
    result = runtime.run("exec", "--cwd", "/tmp", "-e", "A=b", "one", "sh", "-c", script)
    assert result.stdout == "/tmp\nb\nCapEff:\t0000000000000020\n"
    assert "a0" in runtime.run("exec", "--cap", "CAP_SETUID", "one", "grep", "CapEff", "/proc/self/status").stdout
    assert "1" in runtime.run("exec", "--no-new-privs", "one", "grep", "NoNewPrivs", "/proc/self/status").stdout
    assert runtime.run("exec", "one", "sh", "-c", "kill -9 $$", check=137)
    assert "executable file not found" in runtime.run("exec", "one", "no-such-command", check=1).stderr
    assert "a command or --process" in runtime.run("exec", "one", check=1).stderr
    process = runtime.bundle / "process.json"
    process.write_text(json.dumps({"args": ["sh", "-c", "echo $A; exit 3"], "cwd": "/", "env": ["PATH=/bin", "A=whole"]}))
    assert runtime.run("exec", "--process", "process.json", "one", check=3).stdout == "whole\n"
    runtime.run("exec", "--detach", "--pid-file", "pid", "one", "sh", "-c", "sleep 50 </dev/null >/dev/null 2>&1 & wait")


def test_exec_with_a_console_socket(runtime: Runtime) -> None:
    runtime.write(config("sleep", "100"))
    runtime.create("one")
    runtime.run("start", "one")
    master, _name = _create_with_console(runtime, "exec", "--tty", "--detach", "one", "tty")
    with open(master, "r+b", buffering=0) as terminal:
        assert b"/dev/pts/0" in _read_until(terminal, b"/dev/pts/0")


def test_namespaces_by_path_are_shared(runtime: Runtime) -> None:
    runtime.write(config("sleep", "100"))
    runtime.create("one")
    runtime.run("start", "one")
    pid = runtime.state("one")["pid"]
    spec = config("sh", "-c", "hostname; ps -o args; for n in user ipc uts pid mnt; do readlink /proc/self/ns/$n; done")
    names = {"user": "user", "ipc": "ipc", "uts": "uts", "pid": "pid"}
    spec["linux"]["namespaces"] = [{"type": kind, "path": f"/proc/{pid}/ns/{name}"} for kind, name in names.items()]
    spec["linux"]["namespaces"].append({"type": "mount"})
    for key in ("uidMappings", "gidMappings"):
        del spec["linux"][key]
    spec["hostname"] = ""
    runtime.write(spec)
    lines = runtime.run("run", "two").stdout.splitlines()
    assert lines[0] == "oci"
    assert "sleep 100" in lines
    own = [os.readlink(f"/proc/{pid}/ns/{name}") for name in ("user", "ipc", "uts", "pid", "mnt")]
    assert lines[-5:-1] == own[:-1]
    assert lines[-1] != own[-1]
    spec["linux"]["namespaces"][1]["path"] = f"/proc/{pid}/ns/net"
    runtime.write(spec)
    assert "ipc namespace" in runtime.run("run", "two", check=1).stderr


def test_the_default_map_is_the_engine_s(runtime: Runtime) -> None:
    spec = config("sh", "-c", "wc -l < /proc/self/uid_map; touch /tmp/x; stat -c %u /tmp/x")
    for key in ("uidMappings", "gidMappings"):
        del spec["linux"][key]
    runtime.write(spec)
    lines = runtime.run("run", "one").stdout.splitlines()
    assert int(lines[0]) >= 1
    assert lines[1] == "0"


def test_subordinate_ids_of_the_config_are_mapped(runtime: Runtime) -> None:
    """As an engine without root writes them: by newuidmap and newgidmap."""
    start = _subordinate_start("/etc/subuid"), _subordinate_start("/etc/subgid")
    spec = config("cat", "/proc/self/uid_map", user={"uid": 5, "gid": 6})
    for key, outside in zip(("uidMappings", "gidMappings"), start, strict=True):
        spec["linux"][key].append({"containerID": 1, "hostID": outside, "size": 100})
    runtime.write(spec)
    lines = [line.split() for line in runtime.run("run", "one").stdout.splitlines()]
    assert lines == [["0", str(USER.pw_uid), "1"], ["1", str(start[0]), "100"]]


def test_spec_makes_a_config_that_runs(runtime: Runtime) -> None:
    runtime.run("spec", "--rootless")
    path = runtime.bundle / "config.json"
    spec = json.loads(path.read_text())
    spec["process"].update(terminal=False, args=["sh", "-c", "id -u; touch /x"])
    path.write_text(json.dumps(spec))
    result = runtime.run("run", "one", check=1)
    assert result.stdout == "0\n"
    assert "Read-only" in result.stderr
    assert "exists already" in runtime.run("spec", check=1).stderr


def test_features_are_what_the_schema_wants(runtime: Runtime) -> None:
    found = json.loads(runtime.run("features").stdout)
    assert found["ociVersionMin"] == "1.0.0"
    assert set(found["hooks"]) == {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}
    assert {"ro", "rro", "rbind", "rshared", "tmpcopyup", "idmap"} <= set(found["mountOptions"])
    assert "SCMP_ACT_NOTIFY" in found["linux"]["seccomp"]["actions"]
    assert set(found["linux"]["namespaces"]) == {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}


def _subordinate_start(path: str) -> int:
    for line in Path(path).read_text().splitlines():
        name, start, _length = line.split(":")
        if name in (USER.pw_name, str(USER.pw_uid)):
            return int(start)
    pytest.skip(f"{USER.pw_name} has no subordinate IDs in {path}")


def _create_with_console(runtime: Runtime, verb: str, *arguments: str) -> tuple[int, bytes]:
    """Run a verb with a console socket, and return what came there."""
    received: list[tuple[int, bytes]] = []
    with socket.socket(socket.AF_UNIX) as listener:
        path = runtime.folder / f"console-{os.urandom(3).hex()}"
        listener.bind(str(path))
        os.chown(path, USER.pw_uid, USER.pw_gid)
        listener.listen()
        thread = threading.Thread(target=lambda: received.append(_receive(listener)))
        thread.start()
        null = subprocess.DEVNULL
        process = runtime.start(verb, "--console-socket", str(path), *arguments, stdin=null, stdout=null, stderr=null)
        assert process.wait(60) == 0
        thread.join(60)
    return received[0]


def _receive(listener: socket.socket) -> tuple[int, bytes]:
    connection, _address = listener.accept()
    with connection:
        name, ancillary, _flags, _from = connection.recvmsg(4096, socket.CMSG_SPACE(4))
    return array.array("i", ancillary[0][2])[0], name


def _read_until(terminal: Any, text: bytes) -> bytes:
    found = b""
    while text not in found:
        found += terminal.read(1024)
    return found.strip()


def _pids_of(line: str, runtime: Runtime) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                matches = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip() == line
                if matches and f"XDG_RUNTIME_DIR={runtime.folder}".encode() in (entry / "environ").read_bytes():
                    yield int(entry.name)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
