"""The verbs that show and end containers, by the whole `rl` as the unprivileged user, on the embedded busybox image."""

import json
import os
import pty
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import pytest

BUSYBOX = shutil.which("busybox", path="/bin:/usr/bin:/sbin:/usr/sbin")

pytestmark = [pytest.mark.engine, pytest.mark.skipif(BUSYBOX is None, reason="needs Debian's busybox-static")]

PATIENCE = 30
REPOSITORY = os.path.abspath(f"{os.path.dirname(__file__)}/../../..")


class Engine:
    """A data root of its own, and `rl` run on it."""

    def __init__(self, folder: str, user: str | None) -> None:
        self.folder = folder
        self._user = user
        self._environ = {
            "HOME": folder,
            "PATH": os.environ["PATH"],
            "RL_ROOT": f"{folder}/data",
            "RL_RUNROOT": f"{folder}/run",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": REPOSITORY,
        }

    def start(self, *arguments: str, module: str = "cli", **options: Any) -> subprocess.Popen[str]:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        group = None if self._user is None else pwd.getpwnam(self._user).pw_gid
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=self._environ, cwd=self.folder, text=True,
            user=self._user, group=group, extra_groups=None if self._user is None else [], **pipes,
        )  # fmt: skip

    def rl(self, *arguments: str, status: int = 0) -> str:
        """Run a verb and return its output; standard error is in `errors`."""
        process = self.start(*arguments)
        output, self.errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == status, self.errors
        return output

    def run(self, *arguments: str, script: str, status: int = 0) -> str:
        return self.rl("run", "--network", "none", *arguments, "busybox", "sh", "-c", script, status=status)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    user = os.environ.get("RL_TEST_USER", "rltest") if os.getuid() == 0 else None
    folder = tempfile.mkdtemp(prefix="rl-verbs-")
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
    made = Engine(folder, user)
    process = made.start(str(BUSYBOX), module="rootless.images.busybox")
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    yield made
    for name in made.rl("ps", "-aq").split():
        made.rl("rm", "-f", name)
    shutil.rmtree(folder, ignore_errors=True)  # layers belong to subordinate IDs: root can, and a user leaves them in /tmp


@pytest.fixture(autouse=True)
def no_containers(engine: Engine) -> Iterator[None]:
    yield
    names = engine.rl("ps", "-aq").split()
    if names:
        engine.rl("rm", "-f", *names)


def table(text: str) -> list[str]:
    return text.rstrip("\n").split("\n")


def catches(pid: int, number: int) -> bool:
    """Tell whether a process has a handler for a signal (proc(5), SigCgt)."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        (caught,) = [line.split()[1] for line in file if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (number - 1) & 1)


def test_ps(engine: Engine) -> None:
    assert table(engine.rl("ps")) == ["CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES"]
    engine.run("--name", "ended", script="exit 3", status=3)
    identity = engine.run("-d", "--name", "running", script="sleep 100").strip()
    assert engine.rl("ps", "-q") == f"{identity[:12]}\n"
    assert engine.rl("ps", "-q", "--no-trunc") == f"{identity}\n"
    assert (
        engine.rl("ps", "--format", "{{.Names}}|{{.State}}|{{.Image}}|{{.Command}}")
        == "running|running|busybox|\"sh -c 'sleep 100'\"\n"
    )
    lines = table(engine.rl("ps", "-a"))
    assert [line.split()[-1] for line in lines] == ["NAMES", "running", "ended"]
    assert re.search(r"   Up (Less than a second|1 second|\d+ seconds)  ", lines[1])  # a loaded node is slow
    assert "Exited (3) " in lines[2]
    assert engine.rl("ps", "-a", "--filter", "status=exited", "--format", "{{.Names}}") == "ended\n"
    assert engine.rl("ps", "-l", "--format", "table {{.Names}}\\t{{.State}}") == "NAMES     STATE\nrunning   running\n"
    assert json.loads(engine.rl("ps", "-n", "1", "--format", "json"))["Names"] == "running"


def test_inspect(engine: Engine) -> None:
    engine.run("--name", "one", script="exit 4", status=4)
    [found] = json.loads(engine.rl("inspect", "one"))
    assert found["State"]["ExitCode"] == 4
    assert found["Name"] == "/one"
    assert engine.rl("inspect", "-f", "{{.State.ExitCode}} {{.State.Status}}", "one") == "4 exited\n"
    both = json.loads(engine.rl("inspect", "one", "nobody", "busybox", status=1))
    assert [bool(one["Id"]) for one in both] == [True, True]
    assert "rl: No such object: nobody" in engine.errors
    assert json.loads(engine.rl("inspect", "nobody", status=1)) == []
    assert json.loads(engine.rl("inspect", "--type", "container", "busybox", status=1)) == []
    engine.rl("inspect", "-f", "{{.Nope}}", "one", status=1)
    assert "template parsing error" in engine.errors


def test_escape_codes_in_a_command_do_not_reach_the_terminal(engine: Engine) -> None:
    engine.run("--name", "evil", "-e", "X=\x9b\x1b]0;x\x07", script=":\n: '\x1b]0;evil\x07'")
    for arguments in (["ps", "-a"], ["ps", "-a", "--no-trunc"], ["inspect", "evil"]):
        assert "\x1b" not in engine.rl(*arguments)
    assert "\x9b" not in engine.rl("inspect", "evil")


def test_logs(engine: Engine) -> None:
    engine.run("--name", "talk", script="for i in 1 2 3; do echo out $i; echo err $i >&2; sleep 0.05; done; printf end")
    assert engine.rl("logs", "talk") == "out 1\nout 2\nout 3\nend"
    assert engine.errors == "err 1\nerr 2\nerr 3\n"
    assert engine.rl("logs", "-n", "2", "talk") == "end"
    assert engine.errors == "err 3\n"
    assert engine.rl("logs", "--tail", "0", "talk") == ""
    stamp, text = engine.rl("logs", "-t", "--tail", "1", "talk").split(" ")
    assert text == "end"
    assert engine.rl("logs", "--since", stamp, "talk") == "end"
    assert engine.rl("logs", "--until", "1h", "talk") == ""
    assert engine.rl("logs", "-f", "talk").endswith("end")  # an ended container: does not wait
    engine.rl("logs", "--tail", "x", "talk", status=1)
    assert engine.rl("logs", "nobody", status=1) == ""
    assert "rl: No such container: nobody" in engine.errors


def test_logs_follow(engine: Engine) -> None:
    engine.run("-d", "--name", "slow", script="for i in 1 2 3 4 5; do echo $i; sleep 0.2; done")
    assert engine.rl("logs", "-f", "slow") == "1\n2\n3\n4\n5\n"
    engine.run("-d", "--rm", "--name", "brief", script="for i in 1 2 3; do echo $i; sleep 0.2; done")
    assert engine.rl("logs", "-f", "brief") == "1\n2\n3\n"


def test_stop_kill_wait_and_rm(engine: Engine) -> None:
    for name in ("one", "two"):
        engine.run("-d", "--name", name, script="trap 'exit 7' TERM; while :; do sleep 0.05; done")
    engine.rl("rm", "one", status=1)
    assert "is running" in engine.errors
    waiting = engine.start("wait", "one", "two")
    assert engine.rl("kill", "-s", "TERM", "one") == "one\n"
    assert engine.rl("stop", "two", "nobody", status=1) == "two\n"
    assert waiting.communicate(timeout=PATIENCE)[0] == "7\n7\n"
    engine.rl("kill", "one", status=1)
    assert "is not running" in engine.errors
    assert engine.rl("stop", "one") == "one\n"
    assert engine.rl("rm", "one", "nobody", "two", status=1) == "one\ntwo\n"
    assert engine.rl("rm", "-f", "nobody") == ""
    engine.rl("kill", "-s", "NOPE", "nobody", status=1)


def test_several_that_ignore_the_signal_are_stopped_at_once(engine: Engine) -> None:
    names = ["a1", "a2", "a3"]
    for name in names:
        engine.run("-d", "--name", name, script="trap '' TERM; while :; do sleep 0.05; done")
    began = time.monotonic()
    assert engine.rl("stop", "-t", "1", *names).split() == names
    assert time.monotonic() - began < 2.5
    assert engine.rl("wait", *names) == "137\n137\n137\n"


def test_stop_with_another_signal(engine: Engine) -> None:
    engine.run("-d", "--name", "one", script="trap 'exit 5' USR1; while :; do sleep 0.05; done")
    assert engine.rl("stop", "-s", "USR1", "one") == "one\n"
    assert engine.rl("wait", "one") == "5\n"


def test_start_keeps_files(engine: Engine) -> None:
    script = "echo again >> /count; wc -l < /count; exit 6"
    assert engine.run("--name", "one", script=script, status=6) == "1\n"
    assert engine.rl("start", "-a", "one", status=6) == "2\n"
    assert engine.rl("start", "one", "nobody", status=1) == "one\n"
    assert engine.rl("wait", "one") == "6\n"
    assert engine.rl("logs", "--tail", "1", "one") == "3\n"
    engine.rl("start", "-a", "one", "one", status=1)


def test_attach(engine: Engine) -> None:
    engine.rl("attach", "nobody", status=1)
    engine.run("-d", "-i", "--name", "one", script="read line; echo got $line; read line")
    client = engine.start("attach", "one", stdin=subprocess.PIPE)
    assert client.stdin is not None
    assert client.stdout is not None
    client.stdin.write("hello\n")
    client.stdin.flush()
    assert client.stdout.readline() == "got hello\n"
    client.kill()  # the container goes on
    client.communicate()
    assert engine.rl("ps", "--format", "{{.Names}}") == "one\n"
    other = engine.start("attach", "--no-stdin", "one")
    while not catches(other.pid, signal.SIGTERM):
        time.sleep(0.02)
    other.send_signal(signal.SIGTERM)  # forwarded; the shell, PID 1 without a handler, ignores it
    engine.rl("kill", "one")
    assert other.wait(PATIENCE) == 137
    other.communicate()
    engine.rl("attach", "one", status=1)


def test_attach_and_detach_on_a_terminal(engine: Engine) -> None:
    engine.run("-d", "-it", "--name", "one", script="while read line; do echo got $line; done")
    master, slave = pty.openpty()
    client = engine.start("attach", "one", stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    os.write(master, b"hello\r")
    seen = b""
    while b"got hello" not in seen:
        seen += os.read(master, 1024)
    os.write(master, b"\x10\x11")
    assert client.wait(PATIENCE) == 0
    os.close(master)
    assert engine.rl("ps", "--format", "{{.Names}}") == "one\n"


def test_info_and_version(engine: Engine) -> None:
    engine.run("--name", "one", script=":")
    found = json.loads(engine.rl("info", "-f", "json"))
    assert (found["Containers"], found["ContainersStopped"], found["Images"]) == (1, 1, 1)
    assert "Storage Driver: " in engine.rl("info")
    assert engine.rl("version", "-f", "{{.Client.Os}}/{{.Client.Arch}}").startswith("linux/")
    assert "Version:" in engine.rl("version")
