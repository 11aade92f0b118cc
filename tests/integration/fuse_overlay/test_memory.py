"""The server's memory stays bounded: what the kernel has forgotten is dropped, however many files have been looked up.

RL_TEST_LOOKUPS says how many files are looked up (contrib/stress/lookups: a million). They are of a layer that makes up its files.
"""

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fuse_overlay.layer import ITSELF, Content, Folder, Opacity, OpenFolders
from rootless.images.removal import remove_tree
from tests.integration.fuse_overlay.mounted import Mounted, in_parent
from tests.support.engine import wait_until

pytestmark = pytest.mark.engine

LOOKUPS = int(os.environ.get("RL_TEST_LOOKUPS", "30000"))
IN_ONE_FOLDER = 1000
_make_status: Any = os.stat_result


class MadeUpFolder:
    """A folder of a layer that holds a thousand files under each of any number of names. See `Folder`.

    Their inode numbers are beyond what the union passes on as they are: so it is on Lustre, and on some servers of NFS.
    """

    def __init__(self, number: int = 0) -> None:
        """`number`: 0 for the root, else that of the folder, from 1 on."""
        self._number = number

    def find(self, name: bytes) -> os.stat_result | None:
        """See `Folder.find`."""
        if name == ITSELF:
            return _status(stat.S_IFDIR | 0o755, self._number)
        if not name.isdigit():
            return None
        if self._number == 0:
            return _status(stat.S_IFDIR | 0o755, int(name))
        return _status(stat.S_IFREG | 0o644, self._number * 1_000_000 + int(name)) if int(name) < IN_ONE_FOLDER else None

    def child(self, name: bytes) -> "MadeUpFolder":
        """See `Folder.child`."""
        return MadeUpFolder(int(name))

    def entries(self) -> Iterator[tuple[bytes, int]]:
        """See `Folder.entries`; those of the root cannot be listed."""
        for number in range(IN_ONE_FOLDER if self._number else 0):
            yield b"%d" % number, stat.S_IFREG

    def opacity(self) -> Opacity:
        """See `Folder.opacity`."""
        return Opacity.NONE

    def is_whiteout(self, _name: bytes, _status: os.stat_result) -> bool:
        """See `Folder.is_whiteout`."""
        return False

    def open(self, name: bytes, _flags: int) -> Content:
        """See `Folder.open`; nobody reads the files."""
        raise OSError(errno.EIO, os.strerror(errno.EIO), name)

    def read_link(self, name: bytes) -> bytes:
        """See `Folder.read_link`."""
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)

    def list_xattrs(self, _name: bytes) -> list[bytes]:
        """See `Folder.list_xattrs`."""
        return []

    def get_xattr(self, name: bytes, _attribute: bytes) -> bytes:
        """See `Folder.get_xattr`."""
        raise OSError(errno.ENODATA, os.strerror(errno.ENODATA), name)

    def close(self) -> None:
        """See `Folder.close`."""


def _status(mode: int, number: int) -> os.stat_result:
    made: os.stat_result = _make_status((mode, (1 << 50) + number, 77, 1, 0, 0, 0, 0, 0, 0), {
        "st_rdev": 0, "st_blocks": 0, "st_blksize": 4096, "st_atime_ns": 0, "st_mtime_ns": 0, "st_ctime_ns": 0,
    })  # fmt: skip
    return made


class MountedMadeUp(Mounted):
    """A union over such a layer."""

    def serve(self, control: int) -> None:
        """See `Mounted.serve`."""
        from fuse_overlay.__main__ import main  # it brings pyfuse3, which is the server's alone

        def open_layer(_descriptor: int, _open_folders: OpenFolders, _flat: bool) -> Folder:
            return MadeUpFolder()

        main(control, open_layer)


@pytest.fixture
def drop_caches() -> Iterator[Callable[[], None]]:
    """Return what makes the kernel forget names and inodes; also for who is root no longer."""
    if os.getuid() != 0:
        pytest.skip("makes the kernel drop its caches: needs root")
    asked, ask = os.pipe()
    answered, answer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ask)
        while os.read(asked, 1):
            for _time in range(3):  # what was in use lately is spared at first
                Path("/proc/sys/vm/drop_caches").write_text("2")
            os.write(answer, b"d")
        os._exit(0)

    def drop() -> None:
        os.write(ask, b"d")
        assert os.read(answered, 1) == b"d"

    yield drop
    for descriptor in (asked, ask, answered, answer):
        os.close(descriptor)
    os.waitpid(pid, 0)


def resident(pid: int) -> int:
    """Return the memory of a process in KiB."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])


def is_idle(pid: int) -> bool:
    """Tell whether a process uses no time of the processor."""

    def used() -> str:
        return Path(f"/proc/{pid}/schedstat").read_text().split()[0]

    before = used()
    time.sleep(0.1)
    return used() == before


def test_what_the_kernel_has_forgotten_is_dropped(drop_caches: Callable[[], None]) -> None:
    folders = LOOKUPS // IN_ONE_FOLDER

    def look_up(start: int) -> Callable[[], int]:
        def inside() -> int:
            return sum(os.stat(f"{folder}/{name}").st_size == 0 for folder in range(start, start + folders) for name in range(1000))

        return inside

    def body(folder: Path) -> Any:
        figures = []
        with MountedMadeUp(folder, [folder / "lower"]) as union:
            empty = resident(union.server)
            for turn in range(4):  # each with other files
                assert union.run(look_up(1 + turn * folders)) == folders * IN_ONE_FOLDER
                full = resident(union.server)
                drop_caches()
                wait_until(lambda: is_idle(union.server), 60, "the server has taken note of what is forgotten")
                figures.append((full - empty, resident(union.server) - empty))
        return figures

    figures = in_parent(body)
    print(f"{LOOKUPS} files looked up, KiB more than at first, and when forgotten: {figures}")
    # About 300 bytes each; were they not dropped, it would be four times that in the end. The kernel may forget some early.
    assert max(full for full, _dropped in figures) < LOOKUPS * 0.6 + 4096


def test_a_tree_of_any_depth_can_be_made_used_and_removed(drop_caches: Callable[[], None]) -> None:
    depth = 3000

    def make() -> int:
        for _level in range(depth):
            os.mkdir("d")
            os.chdir("d")
        Path("file").write_text("deep")
        return len(os.listdir("."))

    def walk() -> str:
        for _level in range(depth):
            os.chdir("d")
        Path("file").write_text("changed")
        return Path("file").read_text()

    def body(folder: Path) -> Any:
        with Mounted(folder / "one", [folder / "empty"]) as union:
            assert union.run(make) == 1
            drop_caches()
            assert union.run(walk) == "changed"
            drop_caches()
        with Mounted(folder / "two", [folder / "one/upper"]) as union:  # copied up at the bottom
            assert union.run(walk) == "changed"
            drop_caches()
            union.sh("rm -r d; ls -A")
            left = os.listdir(union.work)
        remove_tree(str(folder / "one"))  # what removes the test's folder does not go so deep
        return left

    assert in_parent(body) == []
