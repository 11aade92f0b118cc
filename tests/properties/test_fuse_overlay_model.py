"""Random operations on a union and on a plain folder with the same tree have the same results, also over remounts.

As fsx, but with names: hypothesis shortens what fails. RL_TEST_EXAMPLES=400 makes thousands of steps of it, in three minutes.
"""

import errno
import mmap
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rootless.linux import libc
from tests.integration.fuse_overlay.mounted import Mounted, in_parent
from tests.integration.fuse_overlay.test_union import make_lowers

pytestmark = pytest.mark.engine

EXAMPLES = int(os.environ.get("RL_TEST_EXAMPLES", "15"))
_PATHS: Final = (
    "file", "file-too", "link", "gone", "dir", "dir/both", "dir/from-base", "dir/from-top", "dir/hidden", "dir/sub", "dir/sub/x",
    "opaque", "opaque/above", "opaque/below", "new", "new/x", "new/y", "dir/new",
)  # fmt: skip
_TIME: Final = 1_234_567_890_123_456_789
_AT_FDCWD: Final = -100
_NOREPLACE, _EXCHANGE = 1, 2

Step = tuple[Any, ...]

_PATH = st.sampled_from(_PATHS)
_BYTES = st.binary(min_size=1, max_size=20)
_OFFSET = st.sampled_from((0, 1, 7, 4095, 4096, 10_000))
_SLOT = st.integers(0, 2)
_MODE = st.sampled_from((0o600, 0o644, 0o755, 0o4755, 0o2755, 0o1777))
_ID = st.integers(0, 9)
STEPS = st.one_of(
    st.tuples(st.just("create"), _PATH, _BYTES),
    st.tuples(st.just("write"), _PATH, _OFFSET, _BYTES),
    st.tuples(st.just("append"), _PATH, _BYTES),
    st.tuples(st.just("map"), _PATH, _BYTES),
    st.tuples(st.just("truncate"), _PATH, _OFFSET),
    st.tuples(st.just("read"), _PATH),
    st.tuples(st.just("list"), _PATH),
    st.tuples(st.just("status"), _PATH),
    st.tuples(st.just("mkdir"), _PATH, _MODE),
    st.tuples(st.just("rmdir"), _PATH),
    st.tuples(st.just("unlink"), _PATH),
    st.tuples(st.just("link"), _PATH, _PATH),
    st.tuples(st.just("symlink"), _PATH, _PATH),
    st.tuples(st.just("fifo"), _PATH),
    st.tuples(st.just("rename"), _PATH, _PATH, st.sampled_from((0, 0, _NOREPLACE, _EXCHANGE))),
    st.tuples(st.just("chmod"), _PATH, _MODE),
    st.tuples(st.just("chown"), _PATH, _ID, _ID),
    st.tuples(st.just("utime"), _PATH),
    st.tuples(st.just("setxattr"), _PATH, _BYTES),
    st.tuples(st.just("removexattr"), _PATH),
    st.tuples(st.just("open"), _PATH, _SLOT),
    st.tuples(st.just("write open"), _SLOT, _OFFSET, _BYTES),
    st.tuples(st.just("read open"), _SLOT),
    st.tuples(st.just("close"), _SLOT),
    st.just(("remount",)),
)


class Side:
    """One of the two trees, at the folder `top`, and the files that are open there."""

    def __init__(self, top: str) -> None:
        self._top = top
        self._open: dict[int, int] = {}

    def take(self, step: Step) -> tuple[str, Any]:
        """Return what a step comes to: ok and a value, or error and an errno."""
        operation, *arguments = step
        try:
            return "ok", _OPERATIONS[operation](self, *arguments)
        except OSError as error:
            return "error", error.errno

    def tree(self) -> dict[str, tuple[Any, ...]]:
        """Return everything that can be compared."""
        found = {".": _look(self._top)}
        for folder, folders, files in os.walk(self._top):
            for name in (*folders, *files):
                path = os.path.join(folder, name)
                found[os.path.relpath(path, self._top)] = _look(path)
        return found

    def close(self) -> None:
        """Close what is open."""
        for handle in self._open.values():
            os.close(handle)
        self._open.clear()

    def _at(self, path: str) -> str:
        return f"{self._top}/{path}"

    def _put(self, path: str, flags: int, offset: int, content: bytes) -> None:
        handle = os.open(self._at(path), flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            if flags & os.O_APPEND:
                os.write(handle, content)
            else:
                os.pwrite(handle, content, offset)
        finally:
            os.close(handle)

    def _create(self, path: str, content: bytes) -> None:
        self._put(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0, content)

    def _write(self, path: str, offset: int, content: bytes) -> None:
        self._put(path, os.O_WRONLY, offset, content)

    def _append(self, path: str, content: bytes) -> None:
        self._put(path, os.O_WRONLY | os.O_APPEND, 0, content)

    def _map(self, path: str, content: bytes) -> None:
        handle = os.open(self._at(path), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if os.fstat(handle).st_size >= len(content) and stat.S_ISREG(os.fstat(handle).st_mode):
                with mmap.mmap(handle, len(content)) as memory:
                    memory[:] = content
        finally:
            os.close(handle)

    def _truncate(self, path: str, size: int) -> None:
        if not os.path.islink(self._at(path)):
            os.truncate(self._at(path), size)

    def _read(self, path: str) -> bytes:
        handle = os.open(self._at(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return os.pread(handle, 1 << 20, 0) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
        finally:
            os.close(handle)

    def _list(self, path: str) -> list[str]:
        return sorted(os.listdir(self._at(path)))

    def _status(self, path: str) -> tuple[Any, ...]:
        return _look(self._at(path))

    def _mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._at(path), mode)

    def _rmdir(self, path: str) -> None:
        os.rmdir(self._at(path))

    def _unlink(self, path: str) -> None:
        os.unlink(self._at(path))

    def _link(self, old: str, new: str) -> None:
        os.link(self._at(old), self._at(new), follow_symlinks=False)

    def _symlink(self, target: str, path: str) -> None:
        os.symlink(target, self._at(path))

    def _fifo(self, path: str) -> None:
        os.mkfifo(self._at(path))

    def _rename(self, old: str, new: str, flags: int) -> None:
        libc.call("renameat2", _AT_FDCWD, os.fsencode(self._at(old)), _AT_FDCWD, os.fsencode(self._at(new)), flags)

    def _chmod(self, path: str, mode: int) -> None:
        if not os.path.islink(self._at(path)):
            os.chmod(self._at(path), mode)

    def _chown(self, path: str, user: int, group: int) -> None:
        os.chown(self._at(path), user, group, follow_symlinks=False)

    def _utime(self, path: str) -> None:
        os.utime(self._at(path), ns=(_TIME, _TIME), follow_symlinks=False)

    def _setxattr(self, path: str, value: bytes) -> None:
        os.setxattr(self._at(path), "user.note", value, follow_symlinks=False)

    def _removexattr(self, path: str) -> None:
        os.removexattr(self._at(path), "user.note", follow_symlinks=False)

    def _open_file(self, path: str, slot: int) -> None:
        handle = os.open(self._at(path), os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        self._close(slot)
        self._open[slot] = handle

    def _write_open(self, slot: int, offset: int, content: bytes) -> None:
        if slot in self._open and stat.S_ISREG(os.fstat(self._open[slot]).st_mode):
            os.pwrite(self._open[slot], content, offset)

    def _read_open(self, slot: int) -> bytes:
        if slot in self._open and stat.S_ISREG(os.fstat(self._open[slot]).st_mode):
            return os.pread(self._open[slot], 1 << 20, 0)
        return b""

    def _close(self, slot: int) -> None:
        if slot in self._open:
            os.close(self._open.pop(slot))


_OPERATIONS: Final[dict[str, Callable[..., Any]]] = {
    "create": Side._create,
    "write": Side._write,
    "append": Side._append,
    "map": Side._map,
    "truncate": Side._truncate,
    "read": Side._read,
    "list": Side._list,
    "status": Side._status,
    "mkdir": Side._mkdir,
    "rmdir": Side._rmdir,
    "unlink": Side._unlink,
    "link": Side._link,
    "symlink": Side._symlink,
    "fifo": Side._fifo,
    "rename": Side._rename,
    "chmod": Side._chmod,
    "chown": Side._chown,
    "utime": Side._utime,
    "setxattr": Side._setxattr,
    "removexattr": Side._removexattr,
    "open": Side._open_file,
    "write open": Side._write_open,
    "read open": Side._read_open,
    "close": Side._close,
}


def _look(path: str) -> tuple[Any, ...]:
    """Return type, mode, owner, content and attributes, and the time of modification where `utime` has set it."""
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    content: Any = None
    if kind == stat.S_IFLNK:
        content = os.readlink(path)
    elif kind == stat.S_IFREG:
        content = Path(path).read_bytes()
        assert status.st_size == len(content)
    attributes = {} if kind == stat.S_IFLNK else {key: os.getxattr(path, key) for key in os.listxattr(path)}
    time = status.st_mtime_ns if status.st_mtime_ns == _TIME else None
    return oct(status.st_mode), status.st_uid, status.st_gid, content, attributes, time


def _is_refused_by_design(step: Step, result: tuple[str, Any]) -> bool:
    """Tell whether a folder with a lower part was to be renamed: overlayfs says EXDEV, and mv(1) copies then."""
    return step[0] == "rename" and result == ("error", errno.EXDEV)


def _compare(steps: list[Step], model: str) -> None:
    """Take steps on both, up to the next remount. The union is the working directory."""
    union, plain = Side("."), Side(model)
    for number, step in enumerate(steps):
        result = union.take(step)
        if not _is_refused_by_design(step, result):
            assert result == plain.take(step), f"step {number}: {step}"
    assert union.tree() == plain.tree()
    for side in (union, plain):
        side.close()


@pytest.mark.parametrize("fields", [{}, {"flat": {"upper": True}}], ids=["native", "flat"])
@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=1, max_size=60))
def test_a_union_does_what_a_plain_folder_does(fields: dict[str, Any], steps: list[Step]) -> None:
    def inside(folder: Path) -> None:
        lowers, model = make_lowers(folder), folder / "model"
        runs: list[list[Step]] = [[]]
        for step in steps:
            if step[0] == "remount":
                runs.append([])
            else:
                runs[-1].append(step)
        for number, run in enumerate(runs):
            with Mounted(folder, lowers, **fields) as union:
                if number == 0:
                    union.sh(f"cp -a . {model}")
                else:
                    _assert_same_trees(union, str(model))
                union.run(lambda run=run: _compare(run, str(model)))  # type: ignore[misc]
        with Mounted(folder, lowers, **fields) as union:
            _assert_same_trees(union, str(model))

    in_parent(inside)


def _assert_same_trees(union: Mounted, model: str) -> None:
    def compare() -> None:
        assert Side(".").tree() == Side(model).tree()

    union.run(compare)
