"""`--init`: our own PID 1 passes signals, terminal and exit status through, and reaps whatever is left to it."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.engine import Engine, wait_until
from tests.support.test_user import USER

NONE = ("--network", "none")

# Every process it forks has forked one that ends later than itself: an orphan each, for PID 1 to reap.
ORPHANS = """
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    for (int n = 0; n < 4000; n++) {
        pid_t child = fork();
        if (child < 0) return 1;
        if (child == 0) {
            if (fork() == 0) usleep(1000);
            _exit(0);
        }
        waitpid(child, 0, 0);
    }
    return 0;
}
"""


BECOMES_ROOT = """
#include <unistd.h>
int main(void) { if (setuid(0)) return 1; write(1, "root\\n", 5); for (;;) pause(); }
"""


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with static programs: `orphans` leaves 4,000 of them behind, `becomes-root` does that where it is set-user-ID."""
    folder = tmp_path_factory.mktemp("programs")
    for name, source in (("orphans", ORPHANS), ("becomes-root", BECOMES_ROOT)):
        subprocess.run(["gcc", "-static", "-O1", "-x", "c", "-", "-o", folder / name], input=source, text=True, check=True)
    return folder


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137), ("kill -TERM $$", 143), ("kill -SEGV $$", 139)]
)
def test_the_exit_status_is_the_command_s(engine: Engine, script: str, status: int) -> None:
    engine.rl("run", "--rm", "--init", *NONE, "busybox", "sh", "-c", script, check=status)


def test_errors_of_the_command_are_told_as_without(engine: Engine) -> None:
    assert "not found in $PATH" in engine.rl("run", "--rm", "--init", *NONE, "busybox", "nosuch", check=127).stderr
    assert "permission denied" in engine.rl("run", "--rm", "--init", *NONE, "busybox", "/etc/passwd", check=126).stderr


def test_the_command_is_pid_2_with_a_group_of_its_own(engine: Engine) -> None:
    script = "echo $$; cut -d ' ' -f 4,5 /proc/$$/stat; tr '\\0' ' ' < /proc/1/cmdline"
    result = engine.rl("run", "--rm", "--init", *NONE, "busybox", "sh", "-c", script)
    assert result.stdout.split() == ["2", "1", "2", "rl", "init"]


def test_all_signals_are_passed_on(engine: Engine) -> None:
    ending = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
    numbers = sorted(set(range(1, 65)) - ending - {32, 33})  # two are the C library's own
    script = "".join(f"trap 'echo got-{number}' {number}; " for number in numbers) + "echo ready; while :; do sleep 0.02; done"
    engine.rl("run", "-d", "--init", "--name", "box", *NONE, "busybox", "sh", "-c", script)
    wait_until(lambda: "ready" in engine.rl("logs", "box").stdout)
    for number in numbers:
        engine.rl("kill", "-s", str(number), "box")
    expected = {f"got-{number}" for number in numbers}
    wait_until(lambda: expected <= set(engine.rl("logs", "box").stdout.split()), what="every signal came")


def test_a_signal_that_it_may_not_send_is_not_its_end(engine: Engine, programs: Path) -> None:
    folder = engine.folder / "programs"
    shutil.copytree(programs, folder)
    folder.chmod(0o755)
    os.chown(folder / "becomes-root", USER.pw_uid, USER.pw_gid)  # root of the container
    (folder / "becomes-root").chmod(0o4755)
    volume = ("-v", f"{folder}:/programs:ro")
    engine.rl("run", "-d", "--init", "-u", "5", "--name", "box", *NONE, *volume, "busybox", "/programs/becomes-root")
    wait_until(lambda: "root" in engine.rl("logs", "box").stdout)
    engine.rl("kill", "-s", "TERM", "box")
    assert engine.rl("exec", "-u", "0", "box", "echo", "alive").stdout == "alive\n"
    engine.rl("exec", "-u", "0", "box", "kill", "-TERM", "2", check=None)  # may be ended with the container
    assert engine.rl("wait", "box").stdout == "143\n"


def test_thousands_of_orphans_are_reaped(engine: Engine, programs: Path) -> None:
    program = engine.folder / "orphans"
    shutil.copy(programs / "orphans", program)
    program.chmod(0o755)
    engine.rl("run", "-d", "--init", "--name", "box", *NONE, "-v", f"{program}:/orphans:ro", "busybox", "sleep", "1000")
    engine.rl("exec", "box", "/orphans", timeout=120)
    count = ("exec", "box", "sh", "-c", "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l")
    wait_until(lambda: engine.rl(*count).stdout == "0\n", what="no zombies are left")
    assert engine.rl("exec", "box", "sh", "-c", "set -- /proc/[0-9]*; echo $#").stdout == "3\n"  # init, sleep, this shell


def test_the_end_of_the_command_ends_the_rest(engine: Engine) -> None:
    script = "trap '' TERM HUP INT; (while :; do sleep 1; done) & exit 4"
    engine.rl("run", "--rm", "--init", *NONE, "busybox", "sh", "-c", script, check=4)
    wait_until(lambda: not engine.processes())


def test_an_init_of_the_user_s_own(engine: Engine) -> None:
    init = engine.folder / "own-init"
    init.write_text('#!/bin/sh\necho "own init: $*"; shift; exec "$@"\n')
    init.chmod(0o755)
    result = engine.rl("run", "--rm", "--init", "--init-path", str(init), *NONE, "busybox", "echo", "command")
    assert result.stdout == "own init: -- echo command\ncommand\n"
    missing = engine.rl("run", "--init-path", "/no/such/init", *NONE, "busybox", "true", check=125)
    assert "/no/such/init" in missing.stderr
    assert "hint: " in missing.stderr
