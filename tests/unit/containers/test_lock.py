"""The lock of a container where the file system has locks, and where a file stands for it."""

import errno
import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.containers.lock import ContainerLock


def _refuse(_descriptor: int, _operation: int) -> None:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


@pytest.fixture(params=[True, False], ids=["flock", "stand-in"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A container's folder. No file system here refuses locks, so that is made to look so."""
    if not request.param:
        monkeypatch.setattr(fcntl, "flock", _refuse)
    return str(tmp_path)


def _acquired(folder: str) -> ContainerLock:
    lock = ContainerLock(folder)
    assert lock.acquire()
    return lock


def _in_child(function: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        function()
        signal.pause()
        os._exit(0)
    return pid


def test_one_holder_at_a_time(folder: str) -> None:
    lock = _acquired(folder)
    assert not ContainerLock(folder).acquire()
    lock.release()
    _acquired(folder).release()


def test_a_child_holds_it_on_after_its_parent_let_go(folder: str) -> None:
    lock = _acquired(folder)
    child = _in_child(lock.take_over)
    lock.pass_on(child)
    assert not ContainerLock(folder).acquire()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    _acquired(folder).release()  # a dead holder of this node holds nothing


def test_a_child_holds_it_when_its_parent_was_killed_before_it_could_say_so(folder: str) -> None:
    reading, writing = os.pipe()

    def start_and_die() -> None:
        lock = _acquired(folder)

        def hold() -> None:
            lock.take_over()
            os.write(writing, f"{os.getpid()}\n".encode())

        _in_child(hold)
        os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(_in_child(start_and_die), 0)
    child = int(os.read(reading, 20))
    os.close(reading)
    os.close(writing)
    try:
        assert not ContainerLock(folder).acquire()
    finally:
        os.kill(child, signal.SIGKILL)


def test_another_node_s_stand_in_is_never_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", _refuse)
    (tmp_path / "run.lock.holder").write_text(f"elsewhere {os.getpid()} 1")
    assert not ContainerLock(str(tmp_path)).acquire()
