"""Copying into an empty volume: once, whole, and over what an interrupted copy left."""

import os
from pathlib import Path

import pytest

from rootless.errors import InvalidInput
from rootless.storage.copy_up import copy_up


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "data/inner").mkdir(parents=True)
    (made / "data/inner/file").write_text("content")
    os.link(made / "data/inner/file", made / "data/again")
    (made / "data/link").symlink_to("inner/file")
    (made / "data/inner").chmod(0o700)
    (made / "file").write_text("no folder")
    (made / "absolute").symlink_to("/data")
    return made


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    made = tmp_path / "volume"
    (made / "_data").mkdir(parents=True)
    return made


def copy(root: Path, volume: Path, path: str) -> None:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        copy_up(str(volume), str(volume / "_data"), descriptor, path)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("path", ["/data", "/absolute"])
def test_an_empty_volume_gets_all_of_it(root: Path, volume: Path, path: str) -> None:
    copy(root, volume, path)
    data = volume / "_data"
    assert (data / "inner/file").read_text() == "content"
    assert (data / "again").stat().st_ino == (data / "inner/file").stat().st_ino
    assert os.readlink(data / "link") == "inner/file"
    assert (data / "inner").stat().st_mode & 0o777 == 0o700
    assert (data / "inner/file").stat().st_mtime_ns == (root / "data/inner/file").stat().st_mtime_ns
    assert [path.name for path in volume.iterdir()] == ["_data"]


def test_a_volume_with_files_gets_nothing(root: Path, volume: Path) -> None:
    (volume / "_data/own").touch()
    copy(root, volume, "/data")
    assert [path.name for path in (volume / "_data").iterdir()] == ["own"]


def test_an_interrupted_copy_is_gone_on_with(root: Path, volume: Path) -> None:
    (volume / "copying").touch()
    (volume / ".unfinished.rl").write_text("half")
    (volume / "_data/inner").mkdir()
    (volume / "_data/link").write_text("somebody's")
    copy(root, volume, "/data")
    assert (volume / "_data/inner/file").read_text() == "content"
    assert (volume / "_data/link").read_text() == "somebody's"
    assert [path.name for path in volume.iterdir()] == ["_data"]


def test_what_is_not_there_is_no_error_but_a_file_is(root: Path, volume: Path) -> None:
    copy(root, volume, "/nothing")
    assert list((volume / "_data").iterdir()) == []
    with pytest.raises(InvalidInput, match="cannot mount volume over existing file"):
        copy(root, volume, "/file")
