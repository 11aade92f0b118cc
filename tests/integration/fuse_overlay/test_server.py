"""The server as a process: its control socket, its ends, what it imports, and layers that mean it ill."""

import errno
import hashlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from rootless.linux import mounts, namespaces
from tests.integration.fuse_overlay.mounted import Mounted, in_parent
from tests.integration.fuse_overlay.test_union import make_lowers, mounted
from tests.support.engine import wait_until

pytestmark = pytest.mark.engine


def test_requests_are_answered() -> None:
    def body(union: Mounted) -> list[dict[str, Any]]:
        null = os.open(os.devnull, os.O_RDONLY)
        return [
            union.request("sync"),
            union.request("nonsense"),
            union.answer_to(b"no JSON"),
            union.answer_to(b"[]"),
            union.request("guard"),
            union.request("mount", null, fds=["fuse", "upper", "work"], lowers=0),
        ]

    answers = mounted(body)
    assert answers[0] == {"ok": True}
    assert all("error" in answer for answer in answers[1:])


def test_bad_mount_requests_are_refused_and_a_good_one_taken_afterwards() -> None:
    def body(folder: Path) -> Any:
        union = Mounted(folder, make_lowers(folder))
        union.start_server()
        null = os.open(os.devnull, os.O_RDONLY)
        first = union.request("mount", null, null, null, fds=["fuse", "upper", "work"], lowers=0)
        second = union.request("mount", fds=["fuse", "upper", "work"], lowers=0)
        third = union.request("sync")
        others = [union.answer_to(b"no JSON"), union.answer_to(b"[]")]
        with union:
            return first["errno"], second["error"], third["error"], others, union.sh("cat file")

    number, *texts, others, shown = in_parent(body)
    assert number == errno.ENOTDIR
    assert all("not a request to mount" in text for text in texts)
    assert all("error" in answer for answer in others)
    assert shown == "base"


def test_a_server_without_a_mount_ends_on_request_and_with_the_monitor() -> None:
    def body(folder: Path) -> Any:
        asked, left = Mounted(folder, []), Mounted(folder, [])
        asked.start_server()
        left.start_server()
        assert left.control is not None
        left.control.close()
        return asked.request("stop"), asked.wait_for_server(), left.wait_for_server()

    assert in_parent(body) == ({"ok": True}, 0, 0)


def test_stop_ends_the_server() -> None:
    def body(union: Mounted) -> tuple[dict[str, Any], int]:
        return union.request("stop"), union.wait_for_server()

    assert mounted(body) == ({"ok": True}, 0)


def test_the_end_of_the_monitor_ends_the_server() -> None:
    def body(union: Mounted) -> int:
        assert union.control is not None
        union.control.close()
        return union.wait_for_server()

    assert mounted(body) == 0


def test_the_end_of_the_monitor_kills_a_guarded_init() -> None:
    def body(union: Mounted) -> tuple[int, int]:
        sleeper = subprocess.Popen(["sleep", "60"])  # not a mere fork, which would hold the control socket
        assert union.request("guard", os.pidfd_open(sleeper.pid)) == {"ok": True}
        assert union.control is not None
        union.control.close()
        return union.wait_for_server(), sleeper.wait(5)

    assert mounted(body) == (0, -signal.SIGKILL)


def test_unmounting_ends_the_server() -> None:
    def body(union: Mounted) -> int:
        union.end_init()
        return union.wait_for_server()

    assert mounted(body) == 0


def test_a_killed_server_leaves_an_upper_that_can_be_mounted_again() -> None:
    size = 64 << 20

    def body(folder: Path) -> Any:
        lower = folder / "lower"
        (lower / "dir").mkdir(parents=True)
        (lower / "big").write_bytes(b"x" * size)
        (folder / "work").mkdir()
        (folder / "work/#1").write_text("left by an earlier server")
        with Mounted(folder, [lower]) as union:
            union.sh("echo kept > file; sync file")
            union.sh("(while rm -r dir && mkdir dir && touch dir/f; do :; done) >/dev/null 2>&1 & sleep 0.2")
            union.sh("(echo y >> big) >/dev/null 2>&1 & sleep 0.01")  # in the middle of the copy-up, or nearly
            os.kill(union.server, signal.SIGKILL)
            assert union.wait_for_server() == -signal.SIGKILL
            with pytest.raises(AssertionError, match="not connected"):
                union.sh("ls")
        with Mounted(folder, [lower]) as union:
            assert os.listdir(union.work) == []
            assert int(union.sh("stat -c %s big")) in (size, size + 2)
            return union.sh("cat file; rm -rf dir; mkdir dir; touch dir/x; ls dir")

    assert in_parent(body) == "kept\nx\n"


def test_an_idle_server_uses_no_processor_time_and_holds_no_file() -> None:
    def body(union: Mounted) -> list[str]:
        union.sh("for i in 1 2 3; do cat file > /dev/null; echo x > new; rm new; done")
        time.sleep(0.2)
        before = _times(union.server)
        time.sleep(1)
        assert _times(union.server) == before
        files = [os.readlink(f"/proc/{union.server}/fd/{name}") for name in os.listdir(f"/proc/{union.server}/fd")]
        return [path for path in files if str(union.upper.parent) in path and path.endswith(("/file", "/new", "(deleted)"))]

    assert mounted(body) == []


def _times(pid: int) -> tuple[str, str]:
    fields = Path(f"/proc/{pid}/schedstat").read_text().split()
    return fields[0], fields[2]


def test_inodes_are_dropped_when_the_kernel_forgets_them() -> None:
    def body(union: Mounted) -> int:
        descriptors = f"/proc/{union.server}/fd"
        before = len(os.listdir(descriptors))
        union.sh("mkdir many; for i in $(seq 2000); do : > many/$i; done; rm -r many")
        wait_until(lambda: len(os.listdir(descriptors)) <= before + 10, what="no removed file is held")
        return len(os.listdir(union.upper))

    assert mounted(body) == 0


def test_symlinks_in_layers_lead_nowhere() -> None:
    def body(folder: Path) -> Any:
        outside = folder / "outside"
        outside.mkdir()
        (outside / "secret").write_text("untouched")
        top, base = folder / "top", folder / "base"
        (base / "dir").mkdir(parents=True)
        (base / "dir/secret").write_text("of the layer")
        top.mkdir()
        (top / "dir").symlink_to(outside)
        (base / "file").symlink_to(outside / "secret")
        with Mounted(folder, [top, base]) as union:
            before = union.run(lambda: (os.path.islink("dir"), os.listdir("dir")))
            union.sh("rm dir; mkdir dir; echo own > dir/secret; chown -h 7:7 file; touch -h file; ln file hard; mv file moved")
            union.sh("rm -r dir")
        status = (outside / "secret").stat()
        return before, (outside / "secret").read_text(), status.st_uid, os.listdir(outside)

    # The container itself follows the link, in its own namespace, where the folder happens to be the same.
    assert in_parent(body) == ((True, ["secret"]), "untouched", 0, ["secret"])


def test_many_processes_write_at_the_same_time() -> None:
    script = """
    for n in 1 2 3 4 5 6; do
        (for i in $(seq 40); do
            echo $n-$i > dir/$n-$i; cat dir/$n-$i >> log-$n; echo $n-$i >> log; mv dir/$n-$i dir/m-$n-$i
        done) &
    done; wait
    ls dir | grep -c ^m-; cat log-* | sort | md5sum; sort log | md5sum
    """
    count, apart, _dash, together, _dash = mounted(lambda union: union.sh(script)).split()
    lines = sorted(f"{n}-{i}\n" for n in range(1, 7) for i in range(1, 41))
    assert count == "240"
    assert apart == together == hashlib.md5("".join(lines).encode()).hexdigest()


def test_one_id_maps_show_every_file_as_the_only_owner() -> None:
    def body(folder: Path) -> Any:
        lower = folder / "lower"
        lower.mkdir()
        (lower / "file").write_text("x")
        os.chown(lower / "file", 5, 6)
        with Mounted(folder, [lower], user=0, group=0) as union:
            return union.sh("echo y >> file; chmod 640 file; mkdir d; stat -c '%u %g' file d")

    assert in_parent(body) == "0 0\n0 0\n"


def mount_small(folder: Path, options: str) -> Path:
    """Mount a tmpfs that is full soon, in a mount namespace of our own."""
    namespaces.unshare(namespaces.NEWNS)
    small = folder / "small"
    small.mkdir()
    mounts.mount("tmpfs", str(small), "tmpfs", 0, options)
    return small


def test_a_full_disk_leaves_no_temporary_files() -> None:
    def body(folder: Path) -> Any:
        small = mount_small(folder, "size=1m")
        lower = folder / "lower"
        lower.mkdir()
        (lower / "big").write_bytes(b"x" * (2 << 20))
        with Mounted(small, [lower]) as union:
            with pytest.raises(AssertionError, match="No space left"):
                union.sh("for i in 1 2 3; do echo x >> big; done")
            return os.listdir(union.work), union.sh("rm big; echo small > big; cat big")

    assert in_parent(body) == ([], "small\n")


def test_a_full_disk_can_be_mounted_and_made_room_on() -> None:
    def body(folder: Path) -> Any:
        small = mount_small(folder, "nr_inodes=5")  # the root, the three folders, and a file
        for name in ("upper", "work", "mount"):
            (small / name).mkdir()
        (small / "upper/file").touch()
        with Mounted(small, [folder / "lower"]) as union:
            with pytest.raises(AssertionError, match="No space left"):
                union.sh("touch other")
            return union.sh("ls; rm file; touch other; ls")

    assert in_parent(body) == "file\nother\n"


def test_a_full_disk_leaves_no_temporary_folders() -> None:
    def body(folder: Path) -> Any:
        # Extended attributes count as inodes, 1 KiB each: there is room for a folder, but not with its attribute.
        small = mount_small(folder, "nr_inodes=6")
        lower = folder / "lower"
        (lower / "dir").mkdir(parents=True)
        os.setxattr(lower / "dir", "user.long", bytes(3000))
        with Mounted(small, [lower]) as union:
            with pytest.raises(AssertionError, match="No space left"):
                union.sh("touch dir/file")
            return os.listdir(union.work), union.sh("ls dir; touch file; ls")

    assert in_parent(body) == ([], "dir\nfile\n")
