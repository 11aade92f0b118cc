"""The image store's locks where the file system refuses them: no file system here does, so that is made to look so."""

import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.images import additions
from rootless.images.download import PartialBlob
from rootless.images.layout import Layout
from rootless.linux import file_lock, stand_in
from rootless.linux.process import ProcessId, identify
from rootless.locations import Locations

GONE = ProcessId(2**22 + 1, 1)  # PIDs are below 2^22


@pytest.fixture(autouse=True)
def refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse flock(2) as Lustre without the mount option `flock` does."""

    def refuse(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.fixture
def locations(tmp_path: Path) -> Locations:
    return Locations(str(tmp_path / "d"), str(tmp_path / "r"))


def in_child(function: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        function()
        os._exit(0)
    return pid


def test_one_process_at_a_time_holds_a_lock(tmp_path: Path) -> None:
    log, path = tmp_path / "log", str(tmp_path / "lock")

    def work() -> None:
        for _turn in range(5):
            with file_lock.locked(path):
                for word in (b"in\n", b"out\n"):
                    with open(log, "ab", buffering=0) as file:
                        file.write(word)
                    time.sleep(0.002)

    for pid in [in_child(work) for _child in range(4)]:
        assert os.waitpid(pid, 0)[1] == 0
    assert log.read_text() == "in\nout\n" * 20
    assert sorted(os.listdir(tmp_path)) == ["lock", "log"]


def test_a_killed_holder_of_this_node_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    (tmp_path / "lock.holder").write_bytes(stand_in.holder(GONE))
    with file_lock.locked(str(path)):
        assert str(os.getpid()) in (tmp_path / "lock.holder").read_text()


def test_what_is_cleared_away_is_not_a_holder_that_came_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock.holder"
    path.write_bytes(stand_in.holder(identify(os.getpid())))
    stale = iter([True, False])  # it was let go of after the first look, and taken by somebody else
    monkeypatch.setattr(stand_in, "is_stale", lambda _path: next(stale))
    assert not stand_in.take(str(path))
    assert path.read_bytes() == stand_in.holder(identify(os.getpid()))
    assert os.listdir(tmp_path) == ["lock.holder"]


def test_another_nodes_holder_is_waited_for_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_lock, "_PATIENCE", 0.1)
    (tmp_path / "lock.holder").write_text("elsewhere 1 1")
    with pytest.raises(TimeoutError, match="may be gone") as caught, file_lock.locked(str(tmp_path / "lock")):
        pass
    assert caught.value.filename == str(tmp_path / "lock.holder")


def test_nothing_is_removed_while_somebody_adds(locations: Locations) -> None:
    def may_remove() -> bool:
        with additions.nobody_adds(locations) as alone:
            return alone

    assert may_remove()
    with additions.adding(locations):
        assert not may_remove()
        with additions.adding(locations):
            assert not may_remove()
        assert not may_remove()
    assert may_remove()
    (Path(locations.data_root) / "images.adding.holders/x").write_bytes(stand_in.holder(GONE))
    assert may_remove()


def test_a_blob_is_downloaded_by_one_process(locations: Locations) -> None:
    layout = Layout(locations)
    digest = f"sha256:{'0' * 64}"
    first = PartialBlob.try_open(layout, digest, lambda _offset: None)
    assert first is not None
    with first:
        assert PartialBlob.try_open(layout, digest, lambda _offset: None) is None
    second = PartialBlob.try_open(layout, digest, lambda _offset: None)
    assert second is not None
    with second:
        pass
    assert [name for name in os.listdir(Path(layout.partial_path(digest)).parent) if name.endswith(".holder")] == []
