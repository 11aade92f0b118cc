"""CVE-2024-21626 and its kin: nothing that the caller or the engine has open, and no folder outside of the root, comes inside."""

import fcntl
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.engine import COMMAND, Engine
from tests.support.test_user import drop_privileges

from .conftest import import_image, root_file_system

NONE = ("--network", "none")
DESCRIPTORS = ("/attacker", "descriptors")
LEAKED = 100  # the first of the descriptors that the caller passes on
MARKER = "marker"  # lies in the folder that the caller is in, and has open


def rl_with_descriptors(engine: Engine, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `rl` in a folder with a marker, as a caller that has many files, sockets and folders open and passes them all on."""
    (engine.folder / MARKER).touch()
    opened = [os.open(path, os.O_RDONLY) for path in (engine.folder, engine.folder, "/", "/proc", "/etc/passwd")]
    opened += [*os.pipe(), *(end.detach() for end in socket.socketpair())]
    # At numbers that the tests know, and that neither pytest nor the engine takes otherwise.
    opened += [fcntl.fcntl(descriptor, fcntl.F_DUPFD, LEAKED) for descriptor in opened]
    try:
        return subprocess.run(
            [*COMMAND, *arguments], env=engine.environment, cwd=engine.folder, pass_fds=opened, capture_output=True, text=True,
            check=False, timeout=60, stdin=subprocess.DEVNULL, **drop_privileges(),
        )  # fmt: skip
    finally:
        for descriptor in opened:
            os.close(descriptor)


def check_listing(ended: subprocess.CompletedProcess[str], *, terminal: bool) -> None:
    lines = [line.split(" ", 1) for line in ended.stdout.split("\n") if line.strip()]
    assert [number for number, _target in lines] == ["0", "1", "2"], ended
    for _number, target in lines:
        kinds = ("/dev/pts/",) if terminal else ("pipe:", "/dev/null")
        assert target.startswith(kinds), ended.stdout


@pytest.mark.parametrize("options", [(), ("-i",), ("-t",), ("--init",), ("--init", "-t"), ("-u", "user")])
def test_only_the_standard_streams_are_open(hostile: Engine, options: tuple[str, ...]) -> None:
    ended = rl_with_descriptors(hostile, "run", "--name", "one", *NONE, *options, "hostile", *DESCRIPTORS)
    check_listing(ended, terminal="-t" in options)
    check_listing(rl_with_descriptors(hostile, "start", "-a", "one"), terminal="-t" in options)
    hostile.rl("run", "-d", "--name", "box", *NONE, *(option for option in options if option != "-i"), "hostile", "sleep", "1000")
    for extra in ((), ("-i",), ("-t",), ("--privileged",)):
        check_listing(rl_with_descriptors(hostile, "exec", *extra, "box", *DESCRIPTORS), terminal="-t" in extra)
    hostile.rl("exec", "-d", "box", "sh", "-c", "exec /attacker descriptors >/tmp/list 2>/tmp/errors")
    listing = hostile.rl("exec", "box", "sh", "-c", "until [ -s /tmp/list ]; do sleep 0.1; done; sleep 0.2; cat /tmp/list").stdout
    assert [line.split()[0] for line in listing.splitlines()] == ["0", "1", "2"]


def test_preserved_descriptors_are_those_asked_for_and_no_others(hostile: Engine) -> None:
    hostile.rl("run", "-d", "--name", "box", *NONE, "hostile", "sleep", "1000")

    def prepare(count: int) -> Callable[[], None]:
        def duplicate() -> None:
            for number in range(3, 3 + count):
                os.dup2(0, number)

        return duplicate

    user = drop_privileges()
    ended = subprocess.run(
        [*COMMAND, "exec", "--preserve-fds", "1", "box", *DESCRIPTORS], env=hostile.environment, cwd=hostile.folder, text=True,
        capture_output=True, check=True, stdin=subprocess.DEVNULL, close_fds=False, preexec_fn=prepare(4), **user,
    )  # fmt: skip
    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["0", "1", "2", "3"]


# Where a leaked descriptor, or a magic link, would lead out of the root.
FOLDERS = [*(f"/proc/self/fd/{number}" for number in (3, 4, 5, 6, LEAKED, LEAKED + 1)), f"/proc/self/fd/{LEAKED}/..", "/link"]
INSIDE = ("sh", "-c", f"test ! -e {MARKER} && test ! -e ../{MARKER} && cd / && test -e /attacker && echo inside")


def check_inside(ended: subprocess.CompletedProcess[str]) -> None:
    """The command was refused, or it ran in a folder of the container."""
    assert ended.stdout == "inside\n" or (ended.returncode == 126 and "working directory" in ended.stderr), ended


def test_no_working_directory_outside_of_the_root(hostile: Engine) -> None:
    script = f"ln -s /proc/self/fd/{LEAKED} /link; touch /ready; sleep 1000"
    hostile.rl("run", "-d", "--name", "box", *NONE, "hostile", "sh", "-c", script)
    hostile.rl("exec", "box", "sh", "-c", "until [ -e /ready ]; do sleep 0.1; done")
    for folder in FOLDERS:
        check_inside(rl_with_descriptors(hostile, "run", "--rm", *NONE, "-w", folder, "hostile", *INSIDE))
        check_inside(rl_with_descriptors(hostile, "exec", "-w", folder, "box", *INSIDE))


def test_no_working_directory_of_an_image_outside_of_the_root(hostile: Engine, programs: Path) -> None:
    entries = root_file_system(programs)
    for number in (5, LEAKED):
        import_image(hostile, f"cwd{number}", entries, f"WORKDIR /proc/self/fd/{number}")
        check_inside(rl_with_descriptors(hostile, "run", "--rm", *NONE, f"cwd{number}", *INSIDE))


def test_no_command_outside_of_the_root(hostile: Engine) -> None:
    hostile.rl("run", "-d", "--name", "box", *NONE, "hostile", "sleep", "1000")
    for number in (3, 5, LEAKED + 2):
        path = f"/proc/self/fd/{number}/bin/true"
        for verb in (("run", "--rm", *NONE, "hostile"), ("exec", "box")):
            ended = rl_with_descriptors(hostile, *verb, path)
            assert ended.returncode in (126, 127), ended
