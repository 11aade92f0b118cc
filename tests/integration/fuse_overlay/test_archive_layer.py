"""A union over a layer that is never unpacked: all that a directory layer can do, through the same interface."""

import errno
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.fuse_overlay.archive_layer import MountedArchives
from tests.integration.fuse_overlay.mounted import Mounted, in_parent, tree
from tests.integration.fuse_overlay.test_interchange import CHANGES
from tests.integration.fuse_overlay.test_union import change_what_was_deleted, look, make_lowers, read_across_a_copy_up
from tests.support.tars import file, folder, hard_link, make, member, symlink

pytestmark = pytest.mark.engine

BIG = bytes(range(256)) * 5000
HEADERS = {"SCHILY.xattr.user.note": "kept", "mtime": "2.000000002"}
BASE = [
    folder("./", mode=0o755), folder("dir"), folder("dir/sub"), folder("opaque"), folder("gone", mode=0o700),
    file("file", b"base"), hard_link("file-too", "file"), symlink("link", "dir/both"), file("big", BIG, mode=0o600),
    file("dir/from-base", b"base", uid=12, gid=34, mode=0o640, pax_headers=HEADERS),
    file("dir/both", b"base"), file("dir/hidden", b"base"), file("opaque/below", b"base"), file("gone/file", b"base"),
    (member("pipe", tarfile.FIFOTYPE, uid=3), b""),
]  # fmt: skip
TOP = [
    folder("."), folder("dir"), folder("opaque"), file("opaque/.wh..wh..opq"), file("opaque/above", b"top"),
    file("dir/both", b"top"), file("dir/.wh.hidden"), file("dir/from-top", b"top"), file(".wh.gone"),
]  # fmt: skip


def mounted(body: Callable[[Mounted], Any], *archives: list[Any]) -> Any:
    """Run `body` with a mount of archives, topmost first."""

    def inside(place: Path) -> Any:
        paths = []
        for number, entries in enumerate(archives or (TOP, BASE)):
            paths.append(place / f"{number}.tar")
            paths[-1].write_bytes(make(entries))
        with MountedArchives(place, paths) as union:
            return body(union)

    return in_parent(inside)


def script(text: str) -> str:
    return str(mounted(lambda union: union.sh(text)))


def test_archives_are_merged_and_hide_each_other() -> None:
    assert script("ls; ls dir opaque; cat dir/both link file file-too").split() == [
        "big", "dir", "file", "file-too", "link", "opaque", "pipe",
        "dir:", "both", "from-base", "from-top", "sub", "opaque:", "above", "toptopbasebase",
    ]  # fmt: skip


def test_attributes_come_from_the_archive() -> None:
    def body() -> list[Any]:
        status = os.stat("dir/from-base")
        one, other, pipe = os.stat("file"), os.stat("file-too"), os.stat("pipe")
        return [
            (status.st_uid, status.st_gid, oct(status.st_mode), status.st_mtime_ns, os.getxattr("dir/from-base", "user.note")),
            (os.listxattr("dir/from-base"), os.listxattr("file")),
            (one.st_ino == other.st_ino, one.st_nlink, stat.S_ISFIFO(pipe.st_mode), pipe.st_uid),
            _errno_of(lambda: os.getxattr("file", "user.note")),
            _errno_of(lambda: os.stat("dir/absent")),
        ]

    assert mounted(lambda union: union.run(body)) == [
        (12, 34, "0o100640", 2_000_000_002, b"kept"), (["user.note"], []), (True, 2, True, 3), errno.ENODATA, errno.ENOENT,
    ]  # fmt: skip


def _errno_of(function: Callable[[], object]) -> int | None:
    try:
        function()
    except OSError as error:
        return error.errno
    return None


def test_a_file_is_read_in_place_at_any_offset() -> None:
    def body() -> list[bool]:
        handle = os.open("big", os.O_RDONLY)
        found = [os.pread(handle, 1000, at) == BIG[at : at + 1000] for at in (0, 511, 70_000, len(BIG) - 10, len(BIG))]
        os.fsync(handle)
        os.close(handle)
        return [*found, Path("big").read_bytes() == BIG]

    def check(union: Mounted) -> None:
        assert all(union.run(body))
        assert os.listdir(union.upper) == []

    mounted(check)


def test_a_copy_up_keeps_everything_and_shortens_where_asked() -> None:
    def body(union: Mounted) -> None:
        before = union.run(look)
        union.sh("echo more >> dir/from-base; printf x >> big; truncate -s 3 dir/both; chmod 4711 pipe; mv link moved")
        assert union.run(look) == before
        assert union.sh("cat dir/from-base dir/both; readlink moved; stat -c '%a %u' pipe") == "basemore\ntopdir/both\n4711 3\n"
        assert (union.upper / "big").read_bytes() == BIG + b"x"
        assert os.listdir(union.work) == []

    mounted(body)


def test_hard_links_stay_one_file_after_copy_up() -> None:
    assert script("echo more >> file; cat file-too; stat -c %i file file-too | uniq | wc -l").split() == ["basemore", "1"]


def test_a_reader_sees_what_is_written_after_a_copy_up() -> None:
    assert mounted(lambda union: union.run(read_across_a_copy_up)) == [b"base", b"changed", b"changed"]


def test_an_open_file_goes_on_after_its_removal() -> None:
    assert mounted(lambda union: union.run(change_what_was_deleted)) == (b"base", 0o600)


def test_removal_leaves_whiteouts_and_names_can_be_used_again() -> None:
    def body(union: Mounted) -> None:
        union.sh("rm file; rm -r dir; test ! -e file; mkdir dir; touch dir/only; mkdir gone; echo back > gone/f")
        assert stat.S_ISCHR(os.lstat(union.upper / "file").st_mode)
        assert os.getxattr(union.upper / "dir", "user.overlay.opaque") == b"y"
        assert union.sh("ls -A dir gone").split() == ["dir:", "only", "gone:", "f"]

    mounted(body)


def test_the_same_changes_come_to_the_same_tree_as_over_a_directory() -> None:
    def body(place: Path) -> Any:
        directories = make_lowers(place / "directories")
        with Mounted(place / "directories", directories) as union:
            union.sh(CHANGES)
            expected = union.run(tree)
        archives = [place / "top.tar", place / "base.tar"]
        archives[0].write_bytes(make(TOP))
        archives[1].write_bytes(make([entry for entry in BASE if entry[0].name not in ("big", "pipe")]))
        with MountedArchives(place / "archives", [archives[0], directories[1]]) as union:  # one of each kind
            union.sh(CHANGES)
            mixed = union.run(tree)
        with MountedArchives(place / "both", archives) as union:
            union.sh(CHANGES)
            return expected, mixed, union.run(tree)

    expected, mixed, archives = in_parent(body)
    assert len(expected) > 15
    assert mixed == expected
    assert archives == expected


def test_no_descriptor_of_an_archives_file_is_left() -> None:
    def body(union: Mounted) -> None:
        descriptors = f"/proc/{union.server}/fd"
        union.sh("cat file")
        before = len(os.listdir(descriptors))
        union.sh("for i in $(seq 50); do cat file dir/both > /dev/null; done; echo x >> file; cat file")
        left = [os.readlink(os.path.join(descriptors, name)) for name in os.listdir(descriptors)]
        assert [path for path in left if "memfd" in path] == []
        assert len(left) <= before + 1

    mounted(body)
