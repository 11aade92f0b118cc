"""The union as programs see it: what a lower layer has, what the upper changes, and what then lies on disk."""

import mmap
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rootless.linux import libc
from tests.integration.fuse_overlay.mounted import Mounted, in_parent

pytestmark = pytest.mark.engine

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2


def make_lowers(folder: Path) -> list[Path]:
    """Make two layers, topmost first: `upper-most` hides and adds to what `base` has."""
    top, base = folder / "top", folder / "base"
    for made in (top / "dir", top / "opaque", base / "dir/sub", base / "opaque", base / "gone"):
        made.mkdir(parents=True)
    (base / "file").write_text("base")
    (base / "dir/from-base").write_text("base")
    (base / "dir/both").write_text("base")
    (base / "dir/hidden").write_text("base")
    (base / "opaque/below").write_text("base")
    (base / "gone/file").write_text("base")
    (base / "link").symlink_to("dir/both")
    os.link(base / "file", base / "file-too")
    (top / "dir/both").write_text("top")
    (top / "dir/from-top").write_text("top")
    (top / "opaque/above").write_text("top")
    os.mknod(top / "dir/hidden", stat.S_IFCHR, 0)
    os.mknod(top / "gone", stat.S_IFCHR, 0)
    os.setxattr(top / "opaque", "user.overlay.opaque", b"y")
    os.chown(base / "dir/from-base", 12, 34)
    os.chmod(base / "dir/from-base", 0o640)
    os.setxattr(base / "dir/from-base", "user.note", b"kept")
    os.utime(base / "dir/from-base", ns=(1_000_000_001, 2_000_000_002))
    return [top, base]


def mounted(body: Callable[[Mounted], Any]) -> Any:
    """Run `body` with a mount of the two layers."""

    def inside(folder: Path) -> Any:
        with Mounted(folder, make_lowers(folder)) as union:
            return body(union)

    return in_parent(inside)


def script(text: str) -> str:
    return str(mounted(lambda union: union.sh(text)))


def test_layers_are_merged_and_hide_each_other() -> None:
    assert script("ls; ls dir opaque; cat dir/both link file").split() == [
        "dir", "file", "file-too", "link", "opaque",
        "dir:", "both", "from-base", "from-top", "sub", "opaque:", "above", "toptopbase",
    ]  # fmt: skip


def look() -> tuple[Any, ...]:
    """Return what a copy-up must keep."""
    status = os.stat("dir/from-base")
    return status.st_ino, status.st_uid, status.st_gid, oct(status.st_mode), os.getxattr("dir/from-base", "user.note")


def test_a_copy_up_keeps_owner_mode_attributes_and_inode_number() -> None:
    def body(union: Mounted) -> None:
        before = union.run(look)
        union.sh("echo more >> dir/from-base")
        assert union.run(look) == before
        assert before[1:] == (12, 34, "0o100640", b"kept")
        assert union.sh("cat dir/from-base") == "basemore\n"
        assert (union.upper / "dir/from-base").read_text() == "basemore\n"
        assert os.listdir(union.work) == []

    mounted(body)


def test_times_have_nanoseconds_and_survive_a_copy_up() -> None:
    def change() -> tuple[int, int]:
        os.chmod("dir/from-base", 0o600)
        status = os.stat("dir/from-base")
        return status.st_atime_ns, status.st_mtime_ns

    assert mounted(lambda union: union.run(change)) == (1_000_000_001, 2_000_000_002)


def test_removal_leaves_a_whiteout_only_where_a_lower_layer_has_the_name() -> None:
    def body(union: Mounted) -> None:
        union.sh("echo x > new; rm new file; rm -r dir; test ! -e file; test ! -e dir")
        assert sorted(os.listdir(union.upper)) == ["dir", "file"]
        for name in ("dir", "file"):
            status = os.lstat(union.upper / name)
            assert stat.S_ISCHR(status.st_mode)
            assert status.st_rdev == 0
        assert os.listdir(union.work) == []

    mounted(body)


def test_a_directory_made_where_one_was_removed_is_opaque() -> None:
    def body(union: Mounted) -> None:
        assert union.sh("rm -r dir; mkdir dir; touch dir/only; ls -A dir") == "only\n"
        assert os.getxattr(union.upper / "dir", "user.overlay.opaque") == b"y"
        assert union.sh("rm -r dir; ls; touch dir; cat dir").split() == ["file", "file-too", "link", "opaque"]

    mounted(body)


def test_rename_of_files_and_of_own_directories() -> None:
    assert script(
        """
        mv file moved; cat moved; test ! -e file
        mkdir own; echo in > own/f; mv own other; cat other/f
        mv other dir/other; cat dir/other/f
        rm -r opaque; mv dir/other opaque; ls opaque
        mv dir/both moved; cat moved
        """
    ).split() == ["basein", "in", "f", "top"]


def test_rename_of_a_lower_directory_is_refused_so_that_mv_copies() -> None:
    def body() -> int:
        with pytest.raises(OSError, match="cross-device") as caught:
            os.rename("dir", "elsewhere")
        return caught.value.errno or 0

    assert mounted(lambda union: union.run(body)) == 18
    assert script("mv dir elsewhere; ls elsewhere; test ! -e dir").split() == ["both", "from-base", "from-top", "sub"]


def test_rename_flags() -> None:
    def body() -> list[str]:
        def rename(old: bytes, new: bytes, flags: int) -> None:
            libc.call("renameat2", _AT_FDCWD, old, _AT_FDCWD, new, flags)

        Path("new").write_text("new")
        rename(b"new", b"file", _RENAME_EXCHANGE)
        exchanged = [Path("new").read_text(), Path("file").read_text()]
        with pytest.raises(FileExistsError):
            rename(b"new", b"file", _RENAME_NOREPLACE)
        rename(b"new", b"free", _RENAME_NOREPLACE)
        os.mkdir("folder")
        rename(b"folder", b"free", _RENAME_EXCHANGE)
        return [*exchanged, Path("folder").read_text(), str(os.path.isdir("free"))]

    assert mounted(lambda union: union.run(body)) == ["base", "new", "base", "True"]


def test_hard_links_stay_one_file_after_copy_up() -> None:
    assert script(
        """
        stat -c %i file file-too | uniq | wc -l
        echo more >> file
        cat file-too
        ln file third; echo 3 >> third; rm file; tail -n 1 file-too third | grep -c 3
        stat -c %i file-too third | uniq | wc -l
        """
    ).split() == ["1", "basemore", "2", "1"]


def test_removal_of_one_of_two_names_copies_nothing_up() -> None:
    def body(union: Mounted) -> None:
        assert union.sh("cat file; rm file; cat file-too; sync -f .") == "basebase"
        assert os.listdir(union.upper) == ["file"]

    mounted(body)


def test_an_open_file_goes_on_after_its_removal() -> None:
    def body() -> list[bytes]:
        found = []
        for name in ("file", "own"):
            if name == "own":
                Path(name).write_bytes(b"own")
            handle = os.open(name, os.O_RDWR)
            os.unlink(name)
            os.pwrite(handle, b"X", 0)
            os.fchmod(handle, 0o600)
            os.fsync(handle)
            again = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY)
            found.append(os.read(again, 10))
            assert os.fstat(handle).st_mode & 0o777 == 0o600
            os.close(handle)
            os.close(again)
        return found

    assert mounted(lambda union: union.run(body)) == [b"Xase", b"Xwn"]


def change_what_was_deleted() -> tuple[bytes, int]:
    """Change a lower file that is open, but has no name any more."""
    handle = os.open("dir/from-base", os.O_RDONLY)
    os.unlink("dir/from-base")
    os.fchmod(handle, 0o600)
    return os.read(handle, 10), os.fstat(handle).st_mode & 0o777


def test_a_lower_file_deleted_while_open_can_still_be_changed() -> None:
    assert mounted(lambda union: union.run(change_what_was_deleted)) == (b"base", 0o600)


def read_across_a_copy_up() -> list[bytes]:
    """Read a lower file through a descriptor from before its copy-up."""
    reader = os.open("file", os.O_RDONLY)
    found = [os.pread(reader, 10, 0)]
    Path("file").write_bytes(b"changed")
    found.append(os.pread(reader, 10, 0))
    os.posix_fadvise(reader, 0, 0, os.POSIX_FADV_DONTNEED)  # so that the server is asked
    found.append(os.pread(reader, 10, 0))
    os.close(reader)
    return found


def test_a_reader_sees_what_is_written_after_a_copy_up() -> None:
    assert mounted(lambda union: union.run(read_across_a_copy_up)) == [b"base", b"changed", b"changed"]


def test_extended_attributes() -> None:
    def body() -> list[Any]:
        os.setxattr("file", "user.a", b"1")
        with pytest.raises(FileExistsError):
            os.setxattr("file", "user.a", b"2", os.XATTR_CREATE)
        with pytest.raises(OSError, match="No data"):
            os.getxattr("dir", "user.overlay.opaque")
        with pytest.raises(OSError, match="not supported"):
            os.setxattr("dir", "user.overlay.opaque", b"y")
        os.setxattr("file", "user.b", b"2")
        os.removexattr("file", "user.a")
        os.setxattr("opaque", "user.c", b"3")
        return [os.listxattr("file"), os.getxattr("file", "user.b"), os.listxattr("opaque")]

    assert mounted(lambda union: union.run(body)) == [["user.b"], b"2", ["user.c"]]


def test_owners_and_permissions_hold_for_an_ordinary_user() -> None:
    def body(union: Mounted) -> None:
        union.sh("mkdir -m 1777 shared; mkdir -m 2775 group; chown 0:77 group; mkdir -m 700 private; touch private/x")
        union.sh("umask 022; touch shared/mine; mkdir shared/folder; ln -s x shared/s", 1000)
        assert union.sh("stat -c '%u %g %a' shared/*") == "1000 1000 755\n1000 1000 644\n1000 1000 777\n"
        with pytest.raises(AssertionError, match="Permission denied"):
            union.sh("cat private/x", 1000)
        with pytest.raises(AssertionError, match="not permitted"):
            union.sh("rm shared/mine", 1001)
        assert union.sh("touch group/f; mkdir group/d; stat -c '%g %a' group/f group/d") == "77 644\n77 2755\n"
        assert union.sh("rm -r dir; chmod 2777 .; chgrp 55 .", 0) == ""
        assert union.sh("umask 022; mkdir dir; echo > dir/f; stat -c '%u %g %a' dir dir/f", 1000) == "1000 55 2755\n1000 55 644\n"

    mounted(body)


def test_set_id_programs_change_ids_and_writing_takes_the_bits_away() -> None:
    def body(union: Mounted) -> None:
        union.sh("cp /usr/bin/id id; chown 5:6 id; chmod 6755 id")
        assert union.sh("./id -un; ./id -u; ./id -g", 1000).split()[-2:] == ["5", "6"]
        union.sh("chmod 4777 id")
        assert union.sh("printf x >> id; stat -c %a id", 1000) == "777\n"
        assert union.sh("./id -u", 1000) == "1000\n"
        union.sh("chmod 4755 id; chown 7 id")
        assert union.sh("stat -c '%a %u' id") == "755 7\n"

    mounted(body)


def test_file_capabilities_work() -> None:
    def body(union: Mounted) -> None:
        union.sh("cp /bin/cat cat; touch secret; chmod 600 secret; echo word > secret")

        def give() -> bytes:
            # vfs_cap_data, revision 2, effective: CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
            os.setxattr("cat", "security.capability", bytes.fromhex("0100000206000000000000000000000000000000"))
            return os.getxattr("cat", "security.capability")

        assert len(union.run(give)) == 20
        assert union.sh("./cat secret", 1000) == "word\n"
        union.sh("mv cat moved; chmod 711 moved")
        assert union.sh("./moved secret", 1000) == "word\n"

    mounted(body)


@pytest.mark.parametrize("fields", [{}, {"flat": {"upper": True}}], ids=["native", "flat"])
def test_a_write_to_a_set_id_file_sets_its_time(fields: dict[str, Any]) -> None:
    def write() -> tuple[int, str]:
        os.chmod("file", 0o4755)
        os.utime("file", ns=(1, 1_234_567_890))
        with open("file", "ab") as file:
            file.write(b"x")
        status = os.stat("file")
        return status.st_mtime_ns, oct(status.st_mode)

    def inside(folder: Path) -> Any:
        with Mounted(folder, make_lowers(folder), **fields) as union:
            return union.run(write)

    time, mode = in_parent(inside)
    assert (time > 1_234_567_890, mode) == (True, "0o100755")


def test_a_write_takes_file_capabilities_away() -> None:
    def write(name: str) -> list[str]:
        with open(name, "ab") as file:
            file.write(b"x")
            file.flush()
            os.setxattr(name, "security.capability", bytes.fromhex("0100000206000000000000000000000000000000"))
            file.write(b"x")  # the kernel had noted that there is none
        return os.listxattr(name)

    assert mounted(lambda union: (union.run(lambda: write("file")), union.run(lambda: write("new")))) == ([], [])


def test_the_kernel_keeps_the_targets_of_symlinks() -> None:
    """Shown by changing one behind its back."""

    def inside(folder: Path) -> list[str]:
        top, base = make_lowers(folder)
        with Mounted(folder, [top, base]) as union:
            before = union.run(lambda: os.readlink("link"))
            (base / "link").unlink()
            (base / "link").symlink_to("dir/none")
            kept = union.run(lambda: os.readlink("link"))
            union.sh("ln -sfn dir/other link; ln -s dir/both again; rm again; ln -s dir/more again")
            return [before, kept, *union.run(lambda: [os.readlink("link"), os.readlink("again")])]

    assert in_parent(inside) == ["dir/both", "dir/both", "dir/other", "dir/more"]


def test_special_files() -> None:
    assert script(
        """
        mkfifo pipe; (echo through > pipe &); cat pipe
        ! mknod whiteout c 0 0 2>/dev/null
        ls -A | grep -c whiteout || true
        stat -c %F pipe
        """
    ).split() == ["through", "0", "fifo"]


def test_memory_maps_are_written_back() -> None:
    def body() -> bytes:
        Path("map").write_bytes(bytes(10000))
        with open("map", "r+b") as file, mmap.mmap(file.fileno(), 10000) as memory:
            memory[5000:5004] = b"here"
            memory.flush()
        return Path("map").read_bytes()[4998:5006]

    assert mounted(lambda union: union.run(body)) == b"\0\0here\0\0"


def test_a_large_directory_is_listed_whole_and_once() -> None:
    def body() -> tuple[int, int]:
        os.mkdir("many")
        for number in range(3000):
            Path(f"many/a-rather-long-name-of-a-file-{number}").touch()
        names = os.listdir("many")
        return len(names), len(set(names))

    assert mounted(lambda union: union.run(body)) == (3000, 3000)


def test_a_deep_tree_is_removed() -> None:
    path = "/".join(["d"] * 300)
    assert script(f"mkdir -p dir/{path}; touch dir/{path}/f; rm -r dir; ls").split() == ["file", "file-too", "link", "opaque"]


def test_the_file_system_tells_its_size() -> None:
    assert int(script("df --output=avail . | tail -n 1")) > 0


def test_truncation_copies_no_data_up() -> None:
    def body(union: Mounted) -> None:
        (union.lowers[1] / "big").write_bytes(b"x" * (1 << 20))
        assert union.sh("truncate -s 3 big; cat big; : > big; stat -c %s big; truncate -s 5 big; stat -c %s big") == "xxx0\n5\n"

    mounted(body)
