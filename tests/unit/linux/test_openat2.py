import errno
import os
from collections.abc import Iterator

import pytest

from rootless.linux.openat2 import open_in_root


@pytest.fixture
def root(tmp_path: object) -> Iterator[int]:
    with open(f"{tmp_path}/outside", "w") as file:
        file.write("outside")
    os.makedirs(f"{tmp_path}/root/folder")
    with open(f"{tmp_path}/root/inside", "w") as file:
        file.write("inside")
    descriptor = os.open(f"{tmp_path}/root", os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def read(root: int, path: str) -> str:
    with open(open_in_root(root, path, os.O_RDONLY)) as file:
        return file.read()


def test_paths_and_links_stay_inside(root: int, tmp_path: object) -> None:
    os.symlink("/inside", f"{tmp_path}/root/absolute")
    os.symlink("../../../inside", f"{tmp_path}/root/folder/up")
    for path in ("inside", "/inside", "../../inside", "folder/../../inside", "absolute", "/folder/up"):
        assert read(root, path) == "inside"
    for path in ("../outside", f"{tmp_path}/outside"):
        with pytest.raises(FileNotFoundError):
            open_in_root(root, path, os.O_RDONLY)


def test_descriptors_are_closed_on_exec(root: int) -> None:
    descriptor = open_in_root(root, "inside", os.O_RDONLY)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_create(root: int, tmp_path: object) -> None:
    os.close(open_in_root(root, "/folder/new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))
    assert os.stat(f"{tmp_path}/root/folder/new").st_mode & 0o777 == 0o640 & ~_umask()


def test_magic_links_are_refused() -> None:
    root = os.open("/", os.O_PATH)
    with pytest.raises(OSError, match="symbolic links") as caught:
        open_in_root(root, "/proc/self/exe", os.O_RDONLY)
    os.close(root)
    assert caught.value.errno == errno.ELOOP
    assert caught.value.filename == "/proc/self/exe"


def test_a_nul_does_not_cut_the_path(root: int) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        open_in_root(root, "inside\0x", os.O_RDONLY)


def _umask() -> int:
    value = os.umask(0o22)
    os.umask(value)
    return value
