"""What the caller's process hands down or lacks: ignored signals, umask, limits, a folder that is gone, odd names, full streams."""

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.engine import COMMAND, Engine, wait_until
from tests.support.test_user import drop_privileges

NONE = ("--network", "none")


def _run(engine: Engine, *arguments: str, prepare: Callable[[], object], **options: object) -> subprocess.CompletedProcess[str]:
    """Run `rl` after `prepare` in the child."""
    user = drop_privileges()
    become = user.pop("preexec_fn", None)

    def both() -> None:
        prepare()
        if become is not None:
            become()

    command = [*COMMAND, *arguments]
    given = {"env": engine.environment, "cwd": engine.folder, "text": True, "capture_output": True, "timeout": 60}
    given |= {**user, **options}
    return subprocess.run(command, preexec_fn=both, check=False, **given)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("options", [(), ("--init",)])
def test_signals_that_the_caller_ignores_are_not_ignored_inside(engine: Engine, options: tuple[str, ...]) -> None:
    def ignore() -> None:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1):
            signal.signal(number, signal.SIG_IGN)

    arguments = ("run", "--rm", *NONE, *options, "busybox", "grep", "SigIgn", "/proc/self/status")
    assert _run(engine, *arguments, prepare=ignore).stdout.split() == ["SigIgn:", "0" * 16]
    engine.rl("run", "-d", "--name", "box", *NONE, *options, "busybox", "sleep", "1000")
    ended = _run(engine, "exec", "box", "grep", "SigIgn", "/proc/self/status", prepare=ignore)
    assert ended.stdout.split() == ["SigIgn:", "0" * 16]


def test_a_strict_umask_does_not_close_the_container_s_own_files(engine: Engine) -> None:
    script = "cat /etc/hosts /etc/hostname /etc/resolv.conf >/dev/null && cd /made/for && ls /new/mount && umask"
    options = ("-u", "1000:1000", "-w", "/made/for", "-v", f"{engine.folder}:/new/mount")
    ended = _run(engine, "run", "--rm", *options, "busybox", "sh", "-c", script, prepare=lambda: os.umask(0o077))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.endswith("0022\n")


def test_a_file_size_limit_costs_the_log_and_not_the_container(engine: Engine) -> None:
    limit = 64 << 10
    script = "i=0; while [ $i -lt 3000 ]; do echo a line of forty characters or a few more; i=$((i+1)); done; exit 7"
    ended = _run(
        engine, "run", "--name", "box", *NONE, "busybox", "sh", "-c", script,
        prepare=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    assert ended.returncode == 7
    assert ended.stdout.count("\n") == 3000
    assert engine.state("box")["ExitCode"] == 7
    assert 0 < engine.rl("logs", "box").stdout.count("\n") < 3000


def test_a_folder_that_was_removed_under_the_caller(engine: Engine) -> None:
    gone = engine.folder / "gone"
    gone.mkdir()
    ended = _run(engine, "run", "--rm", *NONE, "busybox", "pwd", prepare=gone.rmdir, cwd=gone)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "/\n", "")


def test_a_data_root_that_is_not_utf_8(engine: Engine) -> None:
    odd = os.fsdecode(bytes(engine.folder) + b"/d\xff")
    os.rename(engine.data_root, odd)
    try:
        assert engine.rl("run", "--rm", *NONE, "busybox", "echo", "hi", env={"RL_ROOT": odd}).stdout == "hi\n"
        engine.rl("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "1000", env={"RL_ROOT": odd})
        engine.rl("rm", "-f", "box", env={"RL_ROOT": odd})
    finally:
        os.rename(odd, engine.data_root)


def test_a_relative_runtime_directory(engine: Engine) -> None:
    environment = {"RL_RUNROOT": "relative"}
    engine.rl("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "1000", env=environment)
    assert engine.record("box")["Rl"]["RuntimeDir"] == f"{engine.folder}/relative"
    engine.rl("rm", "-f", "box", env=environment)


def test_more_environment_than_a_packet_holds(engine: Engine) -> None:
    big = "x" * 100_000
    many = [option for number in range(5) for option in ("-e", f"BIG{number}={big}")]
    script = "echo $((${#BIG0} + ${#BIG4})) $HOME"
    assert engine.rl("run", "--rm", *NONE, *many, "busybox", "sh", "-c", script).stdout == "200000 /root\n"
    engine.rl("run", "-d", "--name", "box", *NONE, *many, "busybox", "sleep", "1000")
    assert engine.rl("exec", "box", "sh", "-c", script).stdout == "200000 /root\n"
    assert "exec:" in engine.rl("exec", "box", big, check=126).stderr


@pytest.mark.parametrize("arguments", [("ps", "-a"), ("images",), ("info",), ("version",)])
def test_output_to_a_full_device(engine: Engine, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = _run(engine, *arguments, prepare=lambda: None, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert ended.returncode == 1
    assert ended.stderr == "rl: cannot write the output: No space left on device\n"


def test_ctrl_c_while_modules_load(engine: Engine) -> None:
    """At any moment of a short command: it ends by the signal or with 130, or had ended before; never with a traceback."""
    for milliseconds in range(0, 60, 3):
        process = engine.start("ps", "-a", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(milliseconds / 1000)
        process.send_signal(signal.SIGINT)
        _out, words = process.communicate(timeout=30)
        # The interpreter itself, before our first line has run, has words of its own for it.
        if ("cli/" in words or "rootless/" in words) and "from cli import interrupt" not in words:
            assert "Traceback" not in words
        assert process.returncode in (0, 1, 130, -signal.SIGINT)


def test_a_name_for_a_host_that_the_kernel_or_others_would_refuse(engine: Engine) -> None:
    for name in ("a" * 65, "-a", "a b", "a/b", "a..b", "ü"):
        assert "invalid hostname" in engine.rl("run", "--rm", *NONE, "--hostname", name, "busybox", "true", check=125).stderr
    assert engine.rl("run", "--rm", *NONE, "--hostname", "a.b-c", "busybox", "hostname").stdout == "a.b-c\n"
    assert engine.rl("ps", "-aq").stdout == ""


def test_run_rm_that_is_killed_early_leaves_nothing(engine: Engine) -> None:
    """Between the record and the running container there must be no moment that leaves the record for ever."""
    for milliseconds in range(10, 90, 5):
        process = engine.start("run", "--rm", *NONE, "busybox", "true", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(milliseconds / 1000)
        process.kill()
        process.wait()
    wait_until(lambda: engine.rl("ps", "-aq").stdout == "", 10, "all are gone")
