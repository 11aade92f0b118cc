"""The flat form: owners and modes are noted, every file on disk is the server's own, and the union shows what was asked for."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from rootless.namespaces.idmap import IdMaps, MapLine
from tests.integration.fuse_overlay.mounted import Mounted, in_parent, tree
from tests.integration.fuse_overlay.test_interchange import CHANGES
from tests.integration.fuse_overlay.test_union import make_lowers

pytestmark = pytest.mark.engine

FLAT = {"flat": {"upper": True}}
NOTE = "user.containers.override_stat"
_LINES = (MapLine(0, 1, 1000), MapLine(1000, 0, 1), MapLine(1001, 1001, 60000))
KEPT = IdMaps(_LINES, _LINES)
"""The map of --userns=keep-id for a user 1000."""

OWNERS = """
mkfifo pipe; ln -s file sym; echo x > own; mkdir shared; chmod 2775 shared; chown 5:6 shared own
chown -h 7:8 sym; chown 9:10 pipe; chmod 4711 own; chmod 1777 dir
mkdir shared/inner; echo y > shared/by-root; chmod 0 shared/by-root
"""
LISTED = "stat -c '%n %F %u %g %a' pipe sym own shared shared/inner shared/by-root dir dir/from-base | sed 's/ empty//'"
EXPECTED = [
    "pipe fifo 9 10 644", "sym symbolic link 7 8 777", "own regular file 5 6 4711", "shared directory 5 6 2775",
    "shared/inner directory 0 6 2755", "shared/by-root regular file 0 6 0", "dir directory 0 0 1777",
    "dir/from-base regular file 12 34 640",
]  # fmt: skip


def owners_on_disk(folder: Path) -> set[tuple[int, int]]:
    """Return who owns the files below a folder."""
    paths = [Path(where) / name for where, folders, files in os.walk(folder) for name in [*folders, *files]]
    return {(os.lstat(path).st_uid, os.lstat(path).st_gid) for path in paths}


@pytest.mark.parametrize("maps", [None, KEPT], ids=["default", "keep-id"])
def test_the_same_changes_come_to_the_same_tree_as_with_the_kernels_overlay(maps: IdMaps | None) -> None:
    def body(folder: Path) -> Any:
        with Mounted(folder / "kernel", make_lowers(folder / "kernel"), "overlay") as union:
            union.sh(CHANGES)
            expected = union.run(tree)
        with Mounted(folder / "ours", make_lowers(folder / "ours"), maps=maps, **FLAT) as union:
            union.sh(CHANGES)
            shown = union.run(tree)
        return expected, shown, owners_on_disk(folder / "ours/upper")

    expected, shown, owners = in_parent(body)
    for found in (expected, shown):
        del found["renamed"]  # of one file with two names the kernel's copy-up makes two
    assert shown == expected
    assert owners == {(0, 0)}


@pytest.mark.parametrize("maps", [None, KEPT], ids=["default", "keep-id"])
def test_owners_and_modes_are_kept_over_a_remount(maps: IdMaps | None) -> None:
    def body(folder: Path) -> Any:
        lowers = make_lowers(folder)
        with Mounted(folder, lowers, maps=maps, **FLAT) as union:
            union.sh(OWNERS)
            before = union.sh(LISTED)
        modes = {name: os.lstat(union.upper / name).st_mode for name in ("own", "shared", "dir", "shared/by-root")}
        with Mounted(folder, lowers, maps=maps, **FLAT) as union:
            return before, union.sh(LISTED), owners_on_disk(union.upper), modes

    before, after, owners, modes = in_parent(body)
    assert before.splitlines() == EXPECTED
    assert after == before
    assert owners == {(0, 0)}
    for mode in modes.values():  # what a plain rm -r needs, and no bit that would make a program of somebody else the user's
        assert mode & 0o600 == 0o600
        assert not stat.S_ISDIR(mode) or mode & 0o100
        assert not mode & 0o7000


def test_a_user_of_the_container_makes_files_of_its_own_and_gives_none_away() -> None:
    def body(folder: Path) -> Any:
        with Mounted(folder, make_lowers(folder), maps=KEPT, **FLAT) as union:
            union.sh("chmod 777 .")
            union.sh("umask 027; echo x > mine; mkdir d; ln -s x s; mkfifo p; ! chown 0 mine 2>/dev/null", user=1000)
            union.sh("! cat mine 2>/dev/null; ! ls d 2>/dev/null; ! rm dir/both 2>/dev/null", user=1001)
            return union.sh("stat -c '%n %u %g %a' mine d s p")

    assert in_parent(body).splitlines() == ["mine 1000 1000 640", "d 1000 1000 750", "s 1000 1000 777", "p 1000 1000 640"]


def test_set_id_bits_go_with_a_write_a_truncation_and_a_new_owner() -> None:
    def body(folder: Path) -> Any:
        with Mounted(folder, make_lowers(folder), maps=KEPT, **FLAT) as union:
            look = "stat -c %a own"
            union.sh("cp /usr/bin/id own; chmod 6755 own")
            effective = union.sh("./own -u", user=1000)
            late = "exec 5>>own; chmod 6755 own; echo x >&5; exec 5>&-"
            changes = ("echo more >> own", "truncate -s 10 own", "chown 5 own", late)
            modes = [union.sh(f"{look}; {change}; {look}; chmod 6755 own") for change in changes]
            return effective, modes

    effective, modes = in_parent(body)
    assert effective == "0\n"
    assert modes == ["6755\n755\n"] * 4


def test_the_copy_of_a_native_file_that_was_deleted_while_open_keeps_its_owner() -> None:
    def change() -> tuple[int, int, str]:
        handle = os.open("dir/from-base", os.O_RDONLY)
        os.unlink("dir/from-base")
        os.fchown(handle, 5, 6)
        os.fchmod(handle, 0o4711)
        status = os.fstat(handle)
        return status.st_uid, status.st_gid, oct(status.st_mode)

    def body(folder: Path) -> Any:
        with Mounted(folder, make_lowers(folder), maps=KEPT, **FLAT) as union:
            return union.run(change)

    assert in_parent(body) == (5, 6, "0o104711")


def test_a_flat_layer_shows_what_is_noted() -> None:
    def body(folder: Path) -> Any:
        layer = folder / "layer/d"
        (layer / "dir").mkdir(parents=True)
        noted = {
            "su": "0:0:4755:file",
            "dir": "5:6:2750:dir",
            "null": "0:7:0666:char-1-3",
            "old": "8:9:600",
            "bad": "so:so:so",
            "fifo": "0:0:600:pipe",
        }
        for name, text in noted.items():
            if name != "dir":
                (layer / name).touch()
            os.setxattr(layer / name, NOTE, text.encode())
        (layer / "dir/sym").symlink_to("x")
        (layer / "plain").symlink_to("y")
        (layer.parent / "override_stat.json").write_text(json.dumps([["dir/sym", 7, 8, 0o777]]))
        with Mounted(folder, [layer], flat={"upper": True, "lowers": [0]}) as union:
            listed = "stat -c '%n %F %u %g %a %t:%T' su dir null old bad fifo dir/sym plain"
            before = union.sh(listed)
            union.sh("chown -h 1:1 dir/sym; chown -h 7:8 dir/sym; touch null fifo su; mv null dir/null; mv dir/null null")
            return before, union.sh(listed), owners_on_disk(union.upper)

    before, after, owners = in_parent(body)
    assert before.replace("regular empty file", "empty").splitlines() == [
        "su empty 0 0 4755 0:0", "dir directory 5 6 2750 0:0", "null character special file 0 7 666 1:3", "old empty 8 9 600 0:0",
        "bad empty 0 0 644 0:0", "fifo fifo 0 0 600 0:0", "dir/sym symbolic link 7 8 777 0:0", "plain symbolic link 0 0 777 0:0",
    ]  # fmt: skip
    assert after == before
    assert owners == {(0, 0)}


def test_the_notes_are_not_shown_and_an_engine_inside_has_its_own() -> None:
    def body(folder: Path) -> Any:
        def inside() -> tuple[list[str], bytes]:
            Path("own").touch()
            assert os.listxattr("own") == []
            os.setxattr("own", NOTE, b"5:5:0600:file")
            os.setxattr("own", "user.other", b"x")
            with pytest.raises(OSError, match="not supported"):
                os.setxattr("own", "user.overlay.opaque", b"y")
            return sorted(os.listxattr("own")), os.getxattr("own", NOTE)

        with Mounted(folder, make_lowers(folder), **FLAT) as union:
            shown = union.run(inside)
            return shown, os.getxattr(union.upper / "own", NOTE), union.sh("stat -c %u own")

    assert in_parent(body) == (([NOTE, "user.other"], b"5:5:0600:file"), b"0:0:0644:file", "0\n")


def test_the_log_of_an_upper_forgets_what_is_gone_and_what_is_torn() -> None:
    def body(folder: Path) -> Any:
        lowers = make_lowers(folder)
        log = folder / "override_stat"
        with Mounted(folder, lowers, **FLAT) as union:
            union.sh("for name in one two three; do ln -s a $name; done; chown -h 5:6 one two; chown -h 7:8 three")
            union.sh("rm two; chown -h 0:0 three")
            number = os.lstat(union.upper / "one").st_ino
        grown = log.read_text()
        with log.open("a") as file:
            file.write(f"nonsense\n{number} 9:9:0777:sym")
        with Mounted(folder, lowers, **FLAT) as union:
            shown = union.sh("stat -c '%u %g' one three")
        torn = log.read_text().splitlines()
        log.write_text(log.read_text().replace("upper ", "upper 9"))
        with Mounted(folder, lowers, **FLAT) as union:
            return number, grown.count("\n"), shown, torn, union.sh("stat -c '%u %g' one")

    number, lines, shown, torn, of_copy = in_parent(body)
    assert lines > 4
    assert shown == "5 6\n0 0\n"
    assert torn[1:] == [f"{number} 5:6:0777:symlink"]
    assert of_copy == "0 0\n"  # the numbers are those of another tree


def test_in_a_map_of_one_id_all_files_are_shown_as_that() -> None:
    one = IdMaps((MapLine(1000, 0, 1),), (MapLine(1000, 0, 1),))

    def body(folder: Path) -> Any:
        with Mounted(folder, make_lowers(folder), maps=one, user=1000, group=1000, **FLAT) as union:
            script = "echo x > new; echo y >> dir/from-base; ! chown 0 new 2>/dev/null; stat -c '%u %g %a' new dir/from-base file"
            return union.sh(script, user=1000), owners_on_disk(union.upper)

    assert in_parent(body) == ("1000 1000 644\n1000 1000 640\n1000 1000 644\n", {(0, 0)})
