"""The server is killed at any point of a load of writes: the next one finds no torn file, nothing lost, no rest in the work folder.

RL_TEST_REPETITIONS=200 kills it so often.
"""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.integration.fuse_overlay.mounted import Mounted, in_parent

pytestmark = pytest.mark.engine

COUNT = int(os.environ.get("RL_TEST_REPETITIONS", "4"))
_FILES = 5
_LINES = 2000
_LONGEST = 0.25  # seconds until the kill


def _write_on(journal: str) -> None:
    """Write until the server is gone; the journal, outside of the union, says what was done: `FILE VERSION` a line."""
    with contextlib.suppress(OSError), open(journal, "ab", buffering=0) as done:
        for version in range(1, 1 << 30):
            name = f"dir/file{version % _FILES}"
            with open("new", "w") as file:
                file.write(f"{version}\n" * _LINES)
                file.flush()
                os.fsync(file.fileno())
            os.rename("new", name)
            done.write(f"{name} {version}\n".encode())
            with open("dir/log", "a") as file:  # the first time a copy of the lower file
                file.write(f"{version}\n")
                file.flush()
                os.fsync(file.fileno())
            done.write(f"dir/log {version}\n".encode())
            os.mkdir(f"made{version}")
            os.rename(f"made{version}", f"dir/made{version % _FILES}-{version}")
            os.rmdir(f"dir/made{version % _FILES}-{version}")
            os.link(name, f"dir/link{version}")
            os.unlink(f"dir/link{version}")


def _check(journal: str) -> int:
    """Compare what is there with the journal; returns the last version."""
    done: dict[str, int] = {}
    for line in Path(journal).read_text().splitlines():
        name, version = line.split()
        done[name] = int(version)
    for name, version in done.items():
        lines = Path(name).read_text().splitlines()
        if name == "dir/log":
            assert lines[0] == "lower"
            assert [int(line) for line in lines[1:]] == list(range(1, len(lines))), "torn or out of order"
            assert len(lines) - 1 >= version
        else:
            assert lines == [lines[0]] * _LINES, f"{name} is torn"
            assert int(lines[0]) >= version
    return max(done.values(), default=0)


def _kill_one(folder: Path, seconds: float) -> int:
    lower, journal = folder / "lower", str(folder / "journal")
    (lower / "dir").mkdir(parents=True)
    (lower / "dir/log").write_text("lower\n")
    for number in range(_FILES):
        (lower / f"dir/file{number}").write_text("0\n" * _LINES)
    union = Mounted(folder, [lower])
    with union:
        writer = os.fork()
        if writer == 0:
            with contextlib.suppress(BaseException):
                union.run(lambda: _write_on(journal))
            os._exit(0)
        time.sleep(seconds)
        os.kill(union.server, signal.SIGKILL)
        os.waitpid(union.server, 0)
        union.server = -1
        os.waitpid(writer, 0)
    with Mounted(folder, [lower]) as again:
        assert os.listdir(again.work) == []
        return int(again.run(lambda: _check(journal)) if os.path.exists(journal) else 0)


@pytest.mark.parametrize("number", range(COUNT))
def test_a_server_that_is_killed_leaves_a_whole_union(number: int) -> None:
    seconds = random.Random(number).uniform(0, _LONGEST)
    versions = in_parent(lambda folder: _kill_one(folder, seconds))
    assert versions > 0 or seconds < _LONGEST / 2
