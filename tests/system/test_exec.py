"""`rl exec`: what the command gets, how it ends, and what happens to it when others end."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.engine import COMMAND, Engine, is_alive, wait_until
from tests.support.test_user import drop_privileges

NONE = ("--network", "none")
ALL_CAPABILITIES = (1 << 41) - 1
STATUS = ("grep", "-E", "^(CapEff|CapBnd|Seccomp|NoNewPrivs):", "/proc/self/status")


def read_line(process: "subprocess.Popen[str]") -> str:
    """Return the first line that a command writes, and close the pipe."""
    assert process.stdout is not None
    with process.stdout as stream:
        return stream.readline()


def start(engine: Engine, *options: str, command: tuple[str, ...] = ("sleep", "1000")) -> None:
    """Start a container named box."""
    engine.rl("run", "-d", "--name", "box", *NONE, *options, "busybox", *command)


def test_the_command_gets_what_docker_gives_it(engine: Engine) -> None:
    start(engine, "-e", "OF_CONTAINER=1", "-w", "/etc", "-u", "7:8", "--hostname", "inside")
    env_file = engine.folder / "env"
    env_file.write_text("FROM_FILE=two words\n")
    script = 'echo "$OF_CONTAINER,$FROM_FILE,$GIVEN,$HOME,$HOSTNAME,${TERM-none}"; id -u; id -g; pwd'
    result = engine.rl("exec", "-e", "GIVEN=3", "--env-file", str(env_file), "box", "sh", "-c", script)
    assert result.stdout.splitlines() == ["1,two words,3,/,inside,none", "7", "8", "/etc"]
    result = engine.rl("exec", "-u", "0", "-w", "/tmp", "-e", "OF_CONTAINER=2", "box", "sh", "-c", script)
    assert result.stdout.splitlines() == ["2,,,/root,inside,none", "0", "0", "/tmp"]


def test_it_is_in_all_namespaces_of_the_container(engine: Engine) -> None:
    start(engine)
    init = engine.record("box")["Rl"]["Init"][0]
    script = "for n in user mnt pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done"
    joined = engine.rl("exec", "box", "sh", "-c", script).stdout.split()
    assert joined == [os.readlink(f"/proc/{init}/ns/{name}") for name in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")]


@pytest.mark.parametrize(
    ("command", "status", "text"),
    [
        (["sh", "-c", "exit 42"], 42, ""),
        (["sh", "-c", "kill -TERM $$"], 143, ""),
        (["sh", "-c", "kill -KILL $$"], 137, ""),
        (["nosuchcommand"], 127, 'exec: "nosuchcommand": executable file not found in $PATH'),
        (["/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'),
        (["/nosuch/path"], 127, 'exec: "/nosuch/path": no such file or directory'),
    ],
)
def test_exit_statuses_are_its_own(engine: Engine, command: list[str], status: int, text: str) -> None:
    start(engine)
    result = engine.rl("exec", "box", *command, check=status)
    assert text in result.stderr
    if status in (126, 127):
        assert text in engine.rl("exec", "-d", "box", *command, check=status).stderr
    assert engine.state("box")["Running"]


def test_errors_name_what_is_wrong(engine: Engine) -> None:
    start(engine)
    assert "No such container: nobody" in engine.rl("exec", "nobody", "true", check=1).stderr
    assert "unable to find user nosuch" in engine.rl("exec", "-u", "nosuch", "box", "true", check=126).stderr
    assert '"/no/such"' in engine.rl("exec", "-w", "/no/such", "box", "true", check=126).stderr
    result = engine.rl("exec", "--preserve-fds", "2", "box", "true", check=1)
    assert "file descriptor 3 is not available" in result.stderr
    assert "hint: " in result.stderr
    engine.rl("stop", "-t", "0", "box")
    assert "is not running" in engine.rl("exec", "box", "true", check=1).stderr


def test_privileged_gives_all_capabilities_and_no_filter(engine: Engine) -> None:
    start(engine)
    fields = dict(line.split(":") for line in engine.rl("exec", "--privileged", "box", *STATUS).stdout.splitlines())
    assert int(fields["CapEff"], 16) & ALL_CAPABILITIES == int(fields["CapBnd"], 16) & ALL_CAPABILITIES == ALL_CAPABILITIES
    assert fields["Seccomp"].strip() == "0"
    engine.rl("exec", "--privileged", "box", "mount", "-t", "tmpfs", "none", "/mnt")
    assert "permission denied" in engine.rl("exec", "box", "mount", "-t", "tmpfs", "none", "/mnt", check=1).stderr
    user = dict(line.split(":") for line in engine.rl("exec", "--privileged", "-u", "9", "box", *STATUS).stdout.splitlines())
    assert int(user["CapEff"], 16) == 0


def test_descriptors_are_passed_on_and_no_others(engine: Engine) -> None:
    start(engine)
    reading, writing = os.pipe()
    ours, theirs = os.pipe()
    # The command line's own 3 and 4, whatever numbers the test has them under.
    os.dup2(reading, 103)
    os.dup2(theirs, 104)
    script = 'exec 3<&103 4>&104 103<&- 104>&-; exec "$@"'
    command = ["bash", "-c", script, "bash"]
    process = _start_below(engine, command, (103, 104), "exec", "--preserve-fds", "2", "box", "sh", "-c",
                           "cat <&3 >&4; ls /proc/self/fd | wc -l")  # fmt: skip
    for descriptor in (reading, theirs, 103, 104):
        os.close(descriptor)
    os.write(writing, b"through both")
    os.close(writing)
    out, _err = process.communicate(timeout=30)
    assert os.read(ours, 100) == b"through both"
    assert out == "6\n"  # 0 to 4, and the listing's own
    os.close(ours)


def _start_below(engine: Engine, wrapper: list[str], descriptors: tuple[int, ...], *arguments: str) -> subprocess.Popen[str]:
    """Start `rl` by another program, which gets `descriptors`."""
    return subprocess.Popen(
        [*wrapper, *COMMAND, *arguments],
        env=engine.environment, cwd=engine.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        pass_fds=descriptors, **drop_privileges(),
    )  # fmt: skip


def test_detached_it_returns_at_once_and_the_command_goes_on(engine: Engine) -> None:
    start(engine)
    result = engine.rl("exec", "-d", "box", "sh", "-c", "while [ ! -e /go ]; do sleep 0.02; done; touch /done")
    assert (result.stdout, result.stderr) == ("", "")
    engine.rl("exec", "box", "touch", "/go")
    wait_until(lambda: engine.rl("exec", "box", "test", "-e", "/done", check=None).status == 0)


def test_fifty_at_the_same_time(engine: Engine) -> None:
    start(engine)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = [engine.start("exec", "box", "sh", "-c", f"echo {n}; echo err{n} >&2; exit {n}", **pipes) for n in range(50)]
    for number, process in enumerate(started):
        assert process.communicate(timeout=60) == (f"{number}\n", f"err{number}\n")
        assert process.returncode == number
    wait_until(lambda: not any("rl exec" in line for _pid, line in engine.processes()))
    assert engine.rl("exec", "box", "sh", "-c", "set -- /proc/[0-9]*; echo $#").stdout == "2\n"  # init and this shell


def test_with_each_storage_driver(engine_with_driver: Engine) -> None:
    start(engine_with_driver)
    engine_with_driver.rl("exec", "box", "sh", "-c", "echo kept > /file")
    assert engine_with_driver.rl("exec", "box", "cat", "/file").stdout == "kept\n"


def test_in_a_container_with_an_init(engine: Engine) -> None:
    start(engine, "--init")
    lines = engine.rl("exec", "box", "ps", "-o", "pid,ppid,args").stdout.splitlines()
    assert any(line.split()[:1] == ["1"] and "rl init" in line for line in lines)
    script = "readlink /proc/self/exe; exit 3"
    assert engine.rl("exec", "box", "sh", "-c", script, check=3).stdout.startswith("/bin/")


def test_in_a_container_with_one_id(one_id_engine: Engine) -> None:
    start(one_id_engine)
    script = "cat; id -u; wc -l < /proc/self/uid_map; exit 5"
    result = one_id_engine.rl("exec", "-i", "box", "sh", "-c", script, stdin="in\n", check=5)
    assert result.stdout.split() == ["in", "0", "1"]
    assert "not mapped" in one_id_engine.rl("exec", "-u", "1000", "box", "true", check=126).stderr


def test_a_stop_ends_it_with_the_container(engine: Engine) -> None:
    start(engine)
    process = engine.start("exec", "box", "sh", "-c", "echo ready; exec sleep 1000", stdout=subprocess.PIPE)
    assert read_line(process) == "ready\n"
    engine.rl("stop", "-t", "0", "box")
    assert process.wait(20) == 137


def test_during_a_stop_it_runs_or_says_why_not(engine: Engine) -> None:
    script = 'trap "echo stopping; sleep 2; exit 0" TERM; echo ready; while :; do sleep 0.02; done'
    start(engine, command=("sh", "-c", script))
    wait_until(lambda: "ready" in engine.rl("logs", "box").stdout)
    stopping = engine.start("stop", "box", stdout=subprocess.DEVNULL)
    wait_until(lambda: "stopping" in engine.rl("logs", "box").stdout)
    statuses = set()
    while stopping.poll() is None:
        result = engine.rl("exec", "box", "true", check=None)
        statuses.add(result.status)
        assert result.status in (0, 137) or "not running" in result.stderr or "has ended" in result.stderr, result
    assert 0 in statuses
    assert stopping.returncode == 0


def test_a_killed_client_leaves_the_command_running_and_ends_its_input(engine: Engine) -> None:
    start(engine)
    script = "echo ready; cat; touch /input-ended; exec sleep 1000"
    process = engine.start("exec", "-i", "box", "sh", "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert read_line(process) == "ready\n"
    process.kill()
    process.communicate()
    wait_until(lambda: engine.rl("exec", "box", "test", "-e", "/input-ended", check=None).status == 0)
    assert "sleep 1000" in engine.rl("exec", "box", "ps", "-o", "args").stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_client_and_touch_neither_container_nor_command(engine: Engine, number: int) -> None:
    start(engine, command=("sh", "-c", 'trap "exit 1" INT TERM; while :; do sleep 0.02; done'))
    process = engine.start("exec", "box", "sh", "-c", "echo ready; exec sleep 1234", stdout=subprocess.PIPE)
    assert read_line(process) == "ready\n"
    process.send_signal(number)
    assert process.wait(20) in (128 + number, -number)
    assert engine.state("box")["Running"]
    assert "sleep 1234" in engine.rl("exec", "box", "ps", "-o", "args").stdout


def test_a_killed_session_leaves_the_command_to_the_container(engine: Engine) -> None:
    start(engine)
    process = engine.start("exec", "box", "sleep", "1234", stderr=subprocess.DEVNULL)
    wait_until(lambda: "sleep 1234" in engine.rl("exec", "box", "ps", "-o", "args").stdout)
    (session,) = [pid for pid, line in engine.processes() if line == "rl exec"]
    os.kill(session, signal.SIGKILL)
    assert process.wait(20) == 125
    wait_until(lambda: not is_alive(session))
    assert "sleep 1234" in engine.rl("exec", "box", "ps", "-o", "args").stdout
    init = engine.record("box")["Rl"]["Init"][0]
    engine.rl("rm", "-f", "box")
    assert not Path(f"/proc/{init}").exists() or not is_alive(init)
    wait_until(lambda: not any("sleep 1234" in line for _pid, line in engine.processes()))
