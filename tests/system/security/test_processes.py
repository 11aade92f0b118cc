"""Processes of ours that a container could see, signal or outlive; inherited limits; namespaces that it could go back to."""

import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.support.engine import COMMAND, Engine, is_alive, wait_until
from tests.support.test_user import USER, drop_privileges

NONE = ("--network", "none")


def test_processes_of_the_node_are_neither_seen_nor_signalled(hostile: Engine) -> None:
    hostile.rl("run", "-d", "--name", "box", "hostile", "sleep", "1000")
    monitor = hostile.record("box")["Rl"]["Monitor"][0]
    helper = hostile.helper("box", "slirp_net")
    listing = hostile.rl("exec", "box", "sh", "-c", "ls -d /proc/[0-9]* | wc -l; ps -o args").stdout
    assert "rl" not in listing
    assert int(listing.split()[0]) <= 5
    script = f"kill -9 -1; kill -9 {monitor} {helper} {os.getpid()}; true"
    hostile.rl("exec", "box", "sh", "-c", script, check=None)
    assert is_alive(monitor)
    assert is_alive(helper)
    assert hostile.rl("exec", "box", "echo", "on").stdout == "on\n"


def test_nothing_of_our_namespaces_is_to_be_had(hostile: Engine) -> None:
    """The first process of a container has none of the node's namespaces, and no descriptor that leads back to one."""
    hostile.rl("run", "-d", "--name", "box", "hostile", "sleep", "1000")
    script = "for kind in user mnt pid net ipc uts cgroup; do readlink /proc/1/ns/$kind; done"
    inside = hostile.rl("exec", "box", "sh", "-c", script).stdout.split()
    kinds = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
    assert len(set(inside)) == len(kinds)
    assert not {os.readlink(f"/proc/self/ns/{kind}") for kind in kinds} & set(inside)


def test_environment_and_memory_of_the_caller_are_gone(hostile: Engine) -> None:
    """What the user's shell has in its environment is no part of the container's first process, nor of one by exec."""
    secret = {"SECRET_OF_THE_USER": "b3f1"}
    script = "cat /proc/1/environ /proc/self/environ /proc/1/cmdline | tr '\\0' '\\n'"
    hostile.rl("run", "-d", "--name", "box", *NONE, "hostile", "sleep", "1000", env=secret)
    for words in (
        hostile.rl("run", "--rm", *NONE, "hostile", "sh", "-c", script, env=secret).stdout,
        hostile.rl("exec", "box", "sh", "-c", script, env=secret).stdout,
    ):
        assert "PATH=" in words
        assert "b3f1" not in words
        assert "RL_ROOT" not in words


@pytest.mark.parametrize("limit", ["RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_CORE", "RLIMIT_STACK", "RLIMIT_CPU"])
def test_tiny_limits_of_the_caller_end_in_an_error_or_a_container(hostile: Engine, limit: str) -> None:
    """A container is never half made, whatever the caller's limits are; nothing is left behind and nothing hangs."""
    for value in (0, 1, 8):
        def tighten(value: int = value) -> None:
            number = getattr(resource, limit)
            resource.setrlimit(number, (value, value))

        ended = subprocess.run(
            [*COMMAND, "run", "--rm", *NONE, "hostile", "echo", "fine"], env=hostile.environment, cwd=hostile.folder, text=True,
            capture_output=True, check=False, timeout=60, preexec_fn=tighten, stdin=subprocess.DEVNULL, **drop_privileges(),
        )  # fmt: skip
        assert ended.stdout == "fine\n" or ended.returncode != 0, ended
        wait_until(lambda: not hostile.processes(), 20, "no process is left")
    wait_until(lambda: hostile.rl("ps", "-aq").stdout == "", 20, "no container is left")


def test_processes_of_ours_inside_leave_no_core(hostile: Engine) -> None:
    """It would be written into the container's folder, with the memory of the caller in it: so they are not dumpable.

    The kernel shows that by giving their files in /proc to the node's root.
    """
    hostile.rl("run", "-d", "--init", "--name", "box", *NONE, "hostile", "sleep", "1000")
    record = hostile.record("box")["Rl"]
    init, command = record["Init"][0], record["Entry"][0]
    assert os.stat(f"/proc/{init}/environ").st_uid == 0
    assert os.stat(f"/proc/{command}/environ").st_uid == USER.pw_uid


def test_a_stage_that_joins_a_user_namespace_is_closed_to_it(hostile: Engine) -> None:
    """To a process there that has every capability and sees the node's PIDs: the stage still has the node's root."""
    hostile.rl("run", "-d", "--name", "box", *NONE, "--pid", "host", "hostile", "sleep", "1000")
    watcher = hostile.start("exec", "--privileged", "box", "/attacker", "watch", "5", stdout=subprocess.PIPE)
    for _start in range(5):
        hostile.rl("run", "--rm", *NONE, "--userns", "container:box", "hostile", "true")
    words = watcher.communicate(timeout=60)[0]
    assert "watched" in words
    assert "LEAK environment" not in words  # the executable that it may see is the other container's


def test_a_bomb_of_processes_ends_with_its_container(hostile: Engine) -> None:
    """Bounded here by a limit of the container's own; the engine's processes are not among those that it may use up."""
    script = "ulimit -u 300; bomb() { while :; do (bomb) & done 2>/dev/null; }; (bomb) & exec sleep 1000"
    hostile.rl("run", "-d", "--name", "box", "-u", "user", *NONE, "hostile", "sh", "-c", script)
    wait_until(lambda: _processes_below(hostile) > 20, 20, "the bomb has gone off")
    hostile.rl("rm", "-f", "box", timeout=60)
    assert hostile.rl("ps", "-aq").stdout == ""


def _processes_below(engine: Engine) -> int:
    """Return how many processes share the PID namespace of the container `box`."""
    own = os.readlink(f"/proc/{engine.record('box')['Rl']['Init'][0]}/ns/pid")
    count = 0
    for entry in Path("/proc").iterdir():
        try:
            count += entry.name.isdecimal() and os.readlink(entry / "ns" / "pid") == own
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return count
