"""A person at a terminal: `rl run -it` in tmux, typing, resizing, Ctrl-C, detaching, attaching, leaving."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support.engine import COMMAND, Engine, is_alive, wait_until
from tests.support.terminal import Terminal
from tests.support.test_user import become_test_user

NONE = ("--network", "none")


@pytest.fixture
def terminal(engine: Engine) -> Iterator[Terminal]:
    """A shell in tmux, as the unprivileged user, in which `rl` is a command."""
    launcher = engine.folder / "home" / "rl"
    launcher.write_text(f'#!/bin/sh\nexec {" ".join(COMMAND)} "$@"\n')
    launcher.chmod(0o755)
    environment = {**engine.environment, "PATH": f"{launcher.parent}:{engine.environment['PATH']}"}
    with Terminal(engine.folder, ["sh"], environment, columns=80, rows=24) as opened:
        yield opened


def test_a_whole_session(engine: Engine, terminal: Terminal) -> None:
    terminal.enter("rl run -it --network none --name box busybox sh")
    terminal.wait_for("/ # ")
    terminal.enter("stty size; tty; test -c /dev/console && echo console-is-there")
    terminal.wait_for("24 80")
    terminal.wait_for("/dev/pts/0")
    terminal.wait_for("console-is-there")
    terminal.resize(100, 30)
    terminal.enter("stty size")
    terminal.wait_for("30 100")
    terminal.enter("sleep 1000")
    terminal.press("C-c")
    terminal.enter("echo back-$((40+2))")
    terminal.wait_for("back-42")
    terminal.press("C-p", "C-q")
    terminal.wait_for("/ # $")  # the shell's prompt: what comes in one read with the detach keys is lost
    terminal.enter("echo outside-$((1+1)) $?")
    terminal.wait_for("outside-2")
    assert engine.state("box")["Running"]
    terminal.enter("rl attach box")
    terminal.enter("echo attached-$((2+3))")
    terminal.wait_for("attached-5")
    terminal.enter("exit 7")
    wait_until(lambda: not engine.state("box")["Running"])
    terminal.enter('echo "status-$?"')
    terminal.wait_for("status-7")
    terminal.enter("rl start -ai box")
    terminal.enter("echo again-$((3+3)); exit")
    terminal.wait_for("again-6\n$")  # the prompt: what is typed before belongs to the container
    terminal.enter("stty -a | tr ' ' '\\n' | grep -E '^-?(icanon|echo|isig);?$' | tr '\\n' ,")
    terminal.wait_for("isig,icanon,echo,")


def test_exec_with_a_terminal(engine: Engine, terminal: Terminal) -> None:
    engine.rl("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "1000")
    terminal.enter("rl exec -it box sh")
    terminal.wait_for("/ # ")
    terminal.enter("tty; stty size")
    terminal.wait_for("24 80")
    terminal.resize(100, 30)
    terminal.enter("stty size")
    terminal.wait_for("30 100")
    terminal.enter("sleep 1000")
    terminal.press("C-c")  # a key: the command's, not the container's
    terminal.enter("echo here-$((5+5))")
    terminal.wait_for("here-10")
    terminal.press("C-d")
    terminal.enter("echo left-$((4+4))")
    terminal.wait_for("left-8")


def test_exec_goes_on_when_it_is_detached_from(engine: Engine, terminal: Terminal) -> None:
    engine.rl("run", "-d", "--name", "box", *NONE, "busybox", "sleep", "1000")
    terminal.enter("rl exec -it --detach-keys ctrl-a,d box sh")
    terminal.wait_for("/ # ")
    terminal.enter("while :; do sleep 0.1; done")
    terminal.press("C-a", "d")
    terminal.wait_for("/ # while")
    terminal.enter("clear; echo outside-$((1+1))-$?")
    terminal.wait_for("outside-2-0")
    assert "sh" in engine.rl("exec", "box", "ps", "-o", "args").stdout.splitlines()


def test_other_detach_keys(engine: Engine, terminal: Terminal) -> None:
    terminal.enter("rl run -it --network none --name box --detach-keys ctrl-a,d busybox sh")
    terminal.wait_for("/ # ")
    terminal.press("C-a", "d")
    terminal.wait_for("/ # $")
    terminal.enter("echo outside-$((1+1))")
    terminal.wait_for("outside-2")
    assert engine.state("box")["Running"]


def test_a_closed_terminal_leaves_the_container_running(engine: Engine, terminal: Terminal) -> None:
    terminal.enter("rl run -it --network none --name box busybox sh")
    terminal.wait_for("/ # ")
    terminal.close()
    assert engine.rl("exec", "box", "echo", "alive").stdout == "alive\n"


def test_the_terminal_is_restored_when_the_monitor_is_killed(engine: Engine, terminal: Terminal) -> None:
    terminal.enter("rl run -it --network none --name box busybox sh")
    terminal.wait_for("/ # ")
    os.kill(engine.record("box")["Rl"]["Monitor"][0], signal.SIGKILL)
    terminal.enter("stty -a | tr ' ' '\\n' | grep -E '^-?(icanon|echo);?$' | tr '\\n' ,")
    terminal.wait_for("icanon,echo,")


def test_signals_to_the_command_reach_the_container(engine: Engine) -> None:
    script = 'trap "echo got-it; exit 9" TERM; echo ready; while :; do sleep 0.05; done'
    command = engine.start("run", "--name", "box", *NONE, "busybox", "sh", "-c", script, stdout=subprocess.PIPE)
    assert command.stdout is not None
    assert command.stdout.readline() == "ready\n"
    command.send_signal(signal.SIGTERM)
    assert command.communicate(timeout=20)[0] == "got-it\n"
    assert command.returncode == 9


def test_ctrl_c_without_a_terminal_ends_the_container(engine: Engine, terminal: Terminal) -> None:
    terminal.enter("rl run --rm --init --network none --name box busybox sleep 1000; echo ended-$?")
    wait_until(lambda: "Up" in engine.rl("ps").stdout)
    terminal.press("C-c")
    terminal.wait_for("ended-130")


def test_ctrl_c_at_each_moment_of_a_start_leaves_no_container_behind(engine: Engine) -> None:
    """Ctrl-C ends the command before there is a container, or reaches the shell in it as the key that it is."""
    for milliseconds in range(40, 240, 10):
        command, master = os.forkpty()
        if command == 0:
            os.chdir(engine.folder)
            become_test_user()
            os.execve(COMMAND[0], [*COMMAND, "run", "-it", "--rm", *NONE, "busybox", "sh"], engine.environment)
        time.sleep(milliseconds / 1000)
        os.write(master, b"\x03")
        seen = _read_until(master, b"/ # ", command)
        if b"/ # " in seen:
            os.write(master, b"exit 4\r")
            _read_until(master, None, command)
        wait_until(lambda pid=command: not is_alive(pid), 20, f"the command ended after Ctrl-C at {milliseconds} ms: {seen!r}")
        os.close(master)
        status = os.waitstatus_to_exitcode(os.waitpid(command, 0)[1])
        # Before our first line has run, the interpreter has a status and words of its own for it.
        assert status in (4, 130, -signal.SIGINT) or b"KeyboardInterrupt" in seen, (milliseconds, status, seen)
        assert engine.rl("ps", "-aq").stdout == "", milliseconds


def _read_until(master: int, text: bytes | None, command: int) -> bytes:
    """Read what a command writes until `text`, or its end."""
    seen = b""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and (text is None or text not in seen):
        try:
            if select.select([master], [], [], 0.05)[0]:
                seen += os.read(master, 4096)
            elif not is_alive(command):
                break
        except OSError:  # EIO: the other side is closed
            break
    return seen
