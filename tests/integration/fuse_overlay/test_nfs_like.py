"""A union whose upper and work folder are on a file system that refuses what NFS and the like refuse."""

import errno
import os
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rootless.linux import libc, mounts, namespaces
from tests.integration.fuse_overlay.mounted import Mounted, in_parent, tree
from tests.integration.fuse_overlay.test_flat import EXPECTED, FLAT, LISTED, OWNERS
from tests.integration.fuse_overlay.test_interchange import CHANGES
from tests.integration.fuse_overlay.test_union import change_what_was_deleted, make_lowers, read_across_a_copy_up
from tests.support.engine import wait_until

pytestmark = pytest.mark.engine

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def nfs_like(folder: Path, **has: bool) -> Path:
    """Mount such a file system in a mount namespace of our own, and return where; for what it has see `tests.support.nfs_like`."""
    from tests.support.nfs_like import Has, mount  # it brings pyfuse3, which only these processes need

    namespaces.unshare(namespaces.NEWNS)
    source, point = folder / "server", folder / "nfs"
    source.mkdir()
    point.mkdir()
    mount(str(source), str(point), Has(**has))
    return point


def ramfs(folder: Path) -> Path:
    """Mount a ramfs: the kernel's own file system without user xattrs and without whiteouts by rename."""
    namespaces.unshare(namespaces.NEWNS)
    point = folder / "ramfs"
    point.mkdir()
    mounts.mount("ramfs", str(point), "ramfs", 0, "")
    return point


def mounted(body: Callable[[Mounted], Any], **fields: Any) -> Any:
    """Run `body` with a mount whose lower layers are on a good disk."""

    def inside(folder: Path) -> Any:
        place = nfs_like(folder)
        with Mounted(place, make_lowers(folder), **(fields or FLAT)) as union:
            return body(union)

    return in_parent(inside)


def script(text: str) -> str:
    return str(mounted(lambda union: union.sh(text)))


def hidden(folder: Path) -> list[str]:
    """Return the names on disk that the server's file system has made of deleted files."""
    return [name for _where, _folders, files in os.walk(folder) for name in files if name.startswith(".nfs")]


class WithoutExchange(Mounted):
    """A union on a file system that knows no flags of renameat2(2), but all else: Lustre, for example."""

    def serve(self, control: int) -> None:
        """See `Mounted.serve`."""
        from fuse_overlay import renameat2  # it needs pyfuse3, which is the server's alone
        from fuse_overlay.__main__ import main

        def refuse(*_arguments: object) -> None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

        renameat2.renameat2 = refuse
        main(control)


PLACES: dict[str, tuple[Callable[[Path], Path], type[Mounted]]] = {
    "NFS": (nfs_like, Mounted),
    "with xattrs": (lambda folder: nfs_like(folder, xattrs=True), Mounted),
    "with xattrs and devices": (lambda folder: nfs_like(folder, xattrs=True, devices=True), Mounted),
    "ramfs": (ramfs, Mounted),
    "without exchange": (lambda folder: folder, WithoutExchange),
}


@pytest.mark.parametrize("name", PLACES)
def test_the_same_changes_come_to_the_same_tree_as_on_a_good_disk(name: str) -> None:
    def body(folder: Path) -> Any:
        with Mounted(folder / "good", make_lowers(folder / "good"), **FLAT) as union:
            union.sh(CHANGES)
            expected = union.run(tree)
        place, mount = PLACES[name]
        bad = place(folder)
        lowers = make_lowers(folder)
        with mount(bad, lowers, **FLAT) as union:
            union.sh(CHANGES)
            shown = union.run(tree)
            wait_until(lambda: os.listdir(union.work) == [], 5, "nothing is left in the work folder")
        with mount(bad, lowers, **FLAT) as union:
            return expected, shown, union.run(tree)

    expected, shown, again = in_parent(body)
    assert len(expected) > 15
    if name in ("NFS", "ramfs"):  # there are no xattrs for the container either
        for found in (expected, shown, again):
            found.update({path: facts[:-1] for path, facts in found.items()})
    assert shown == expected
    assert again == expected


def paths_below(top: Path) -> set[str]:
    """Return the paths of all that is below a folder."""
    return {os.path.relpath(Path(where) / name, top) for where, folders, files in os.walk(top) for name in [*folders, *files]}


def paths_by_fuse_overlayfs(place: Path, lowers: list[Path], script: str) -> set[str]:
    """Return what the peer shows of a union after running a script in it: the names."""
    point = place / "peer"
    point.mkdir()
    layers = ":".join(map(str, lowers))
    options = f"lowerdir={layers},upperdir={place / 'upper'},workdir={place / 'work'}"
    with subprocess.Popen(["fuse-overlayfs", "-f", "-o", options, str(point)]) as peer:
        try:
            wait_until(lambda: os.path.ismount(point), what="it is mounted")
            subprocess.run(["sh", "-ec", script], cwd=point, check=True)
            found = paths_below(point)
            mounts.unmount(str(point))
            assert peer.wait(10) == 0
        finally:
            peer.kill()
    return found


@pytest.mark.skipif(shutil.which("fuse-overlayfs") is None, reason="compares with fuse-overlayfs, which is not installed")
def test_fuse_overlayfs_reads_the_form_without_xattrs_and_we_read_its() -> None:
    def body(folder: Path) -> Any:
        place, lowers = ramfs(folder), make_lowers(folder)
        with Mounted(place, lowers) as union:
            union.sh(CHANGES)
            ours = union.run(lambda: paths_below(Path()))
        theirs = paths_by_fuse_overlayfs(place, lowers, "rm link opaque/fresh; touch opaque/back; rm -r dir/hidden")
        with Mounted(place, lowers) as union:
            return ours, theirs, union.run(lambda: paths_below(Path()))

    # What root does not own the peer cannot open where there are no xattrs.
    ours, theirs, again = ({path for path in found if not path.startswith("new/")} for found in in_parent(body))
    assert again == theirs
    assert theirs == ours - {"link", "opaque/fresh", "dir/hidden", "dir/hidden/f"} | {"opaque/back"}


def test_owners_and_modes_are_kept_over_a_remount() -> None:
    def body(folder: Path) -> Any:
        place, lowers = nfs_like(folder), make_lowers(folder)
        with Mounted(place, lowers, **FLAT) as union:
            union.sh(OWNERS)
            before = union.sh(LISTED)
        with Mounted(place, lowers, **FLAT) as union:
            return before, union.sh(LISTED)

    before, after = in_parent(body)
    assert before.splitlines() == EXPECTED
    assert after == before


def test_whiteouts_and_opaque_marks_are_files() -> None:
    def body(union: Mounted) -> None:
        union.sh("rm file; rm -r dir; test ! -e file; mkdir dir; touch dir/only; echo new > file; rm file; rm -r opaque; ls")
        assert sorted(os.listdir(union.upper)) == [".wh.file", ".wh.opaque", "dir"]
        assert sorted(os.listdir(union.upper / "dir")) == [".wh..wh..opq", "only"]
        assert union.sh("ls -A . dir; ls file 2>/dev/null || echo no") == ".:\ndir\nfile-too\nlink\n\ndir:\nonly\nno\n"
        assert union.sh("touch file; cat file; rm -r dir; ! ls dir 2>/dev/null; mkdir dir; ls -A dir") == ""
        assert os.listdir(union.work) == []

    mounted(body)


def test_names_that_would_be_whiteouts_are_refused() -> None:
    def body() -> list[int | None]:
        numbers = []
        for act in (lambda: Path(".wh.x").touch(), lambda: os.mkdir(".wh.x"), lambda: os.rename("file", ".wh.x")):
            with pytest.raises(OSError, match="Invalid") as caught:
                act()
            numbers.append(caught.value.errno)
        return [*numbers, int(os.path.exists("file")), int(os.path.exists(".wh.x"))]

    assert mounted(lambda union: union.run(body)) == [errno.EINVAL] * 3 + [1, 0]


def test_lower_layers_in_that_form_are_read() -> None:
    def body(folder: Path) -> Any:
        place = nfs_like(folder)
        top, base = place / "top", make_lowers(folder)[1]
        for made in ("dir", "opaque"):
            (top / made).mkdir(parents=True)
        for path in (".wh.file", "dir/.wh.both", "dir/new", "opaque/.wh..wh..opq", "opaque/above", ".wh.replaced", "replaced"):
            (top / path).touch()
        with Mounted(place, [top, base], **FLAT) as union:
            return union.sh("ls -A . dir opaque; rm dir/new; mkdir file; ls -A file; mv file dir/both; ls dir").split()

    assert in_parent(body) == [
        ".:", "dir", "file-too", "gone", "link", "opaque", "replaced", "dir:", "from-base", "hidden", "new", "sub",
        "opaque:", "above", "both", "from-base", "hidden", "sub",
    ]  # fmt: skip


def test_directories_take_the_place_of_whiteouts_and_of_each_other() -> None:
    assert script(
        """
        mkdir own other; echo in > own/f; rm -r opaque dir; mv own opaque; ls -A opaque; mv -T opaque other; ls -A other
        test ! -e opaque; mv other dir; ls -A dir; mkdir other opaque; ls -A opaque; rmdir opaque; mkdir opaque; mv -T other opaque
        ls -A opaque; ls
        """
    ).split() == ["f", "f", "f", "dir", "file", "file-too", "link", "opaque"]  # fmt: skip


def test_an_exchange_is_refused_and_changes_nothing() -> None:
    def body() -> list[Any]:
        Path("new").write_text("new")
        with pytest.raises(OSError, match="Invalid"):
            libc.call("renameat2", _AT_FDCWD, b"new", _AT_FDCWD, b"file", _RENAME_EXCHANGE)
        return [Path("new").read_text(), Path("file").read_text()]

    assert mounted(lambda union: union.run(body)) == ["new", "base"]


def test_deleted_files_that_are_open_are_used_and_not_seen() -> None:
    def body() -> list[Any]:
        found: list[Any] = []
        os.mkdir("own")
        for name in ("file", "own/first", "own/second"):
            if name != "file":
                Path(name).write_bytes(b"own")
            handle = os.open(name, os.O_RDWR)
            if name == "own/second":
                Path("new").write_bytes(b"new")
                os.rename("new", name)
                assert Path(name).read_bytes() == b"new"
            os.unlink(name)
            os.pwrite(handle, b"X", 0)
            os.fchmod(handle, 0o600)
            os.fsync(handle)
            again = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY)
            status = os.fstat(handle)
            found.append((os.read(again, 10), oct(status.st_mode), status.st_nlink, os.listdir("own")))
            os.close(again)
        os.rmdir("own")
        os.mkdir("own")
        return found

    def check(union: Mounted) -> Any:
        found = union.run(body)
        wait_until(lambda: os.listdir(union.work) == [], 5, "what was deleted is gone when it is closed")
        assert hidden(union.upper) == []
        return found

    assert mounted(check) == [(b"Xase", "0o100600", 0, []), (b"Xwn", "0o100600", 0, []), (b"Xwn", "0o100600", 0, [])]


def test_files_of_a_lower_layer_are_used_after_removal_and_copy_up() -> None:
    assert mounted(lambda union: union.run(change_what_was_deleted)) == (b"base", 0o600)
    assert mounted(lambda union: union.run(read_across_a_copy_up)) == [b"base", b"changed", b"changed"]


def test_hard_links_and_a_removed_working_directory() -> None:
    assert script(
        """
        echo more >> file; cat file-too; ln file third; rm file; cat third; stat -c %i file-too third | uniq | wc -l
        mkdir -p own/sub; cd own/sub; rmdir ../sub; rmdir ../../own; stat -c %F .; ls -A .; cd /; cd - > /dev/null 2>&1 || echo gone
        """
    ).split() == ["basemore", "basemore", "1", "directory", "gone"]


def test_a_file_system_without_hard_links() -> None:
    def body(folder: Path) -> Any:
        place = nfs_like(folder, links=False)
        with Mounted(place, make_lowers(folder), **FLAT) as union:
            opened = "echo y > two; exec 5<dir/from-base 6<two; mv dir/both dir/from-base; mv dir/from-base two; cat <&5; cat <&6"
            return union.sh(f"{opened}; echo x > own; exec 6<own; rm own; cat two; cat <&6; ls dir")

    assert in_parent(body).split() == ["basey", "topx", "from-top", "sub"]


def test_devices_without_xattrs_stay_readable() -> None:
    """A whiteout of the kernel's form, as an engine on the server's own disk may have left it."""

    def body(folder: Path) -> Any:
        place = nfs_like(folder, devices=True)
        (place / "upper").mkdir()
        os.mknod(place / "upper/file", stat.S_IFCHR, 0)
        with Mounted(place, make_lowers(folder), **FLAT) as union:
            return union.sh("ls; mkdir file; ls -A file; rmdir file; echo x > file; cat file; rm file; ls").split()

    names = ["dir", "file-too", "link", "opaque"]
    assert in_parent(body) == [*names, "x", *names]


def test_a_killed_server_leaves_no_half_of_a_replacement() -> None:
    """What was moved aside comes back, unless its place has been taken."""

    def body(folder: Path) -> Any:
        place, lowers = nfs_like(folder), make_lowers(folder)
        with Mounted(place, lowers, **FLAT) as union:
            union.sh("mkdir -p own/a own/b; echo kept > own/a/f; echo x > own/c; rm -r dir")
            os.kill(union.server, signal.SIGKILL)
            assert union.wait_for_server() == -signal.SIGKILL
        upper, work = place / "upper", place / "work"
        for number, (path, taken) in enumerate([("own/a", False), ("own/b", True), ("own/never", True)], 7):
            os.symlink(path, work / f"#back-#{number}")
            if path != "own/never":
                os.rename(upper / path, work / f"#{number}")
            if taken:
                (upper / path).mkdir()
        (work / "#10").write_text("a deleted file that was open")
        with Mounted(place, lowers, **FLAT) as union:
            return union.sh("ls own; cat own/a/f own/c; ! ls dir 2>/dev/null").split(), os.listdir(work)

    assert in_parent(body) == (["a", "b", "c", "never", "kept", "x"], [])


@pytest.mark.parametrize("moment", [3, 17, 40])
def test_a_load_goes_on_after_a_kill(moment: int) -> None:
    """Directories come and go over whiteouts until the server is killed: a lower file that was hidden never shows again."""

    def body(folder: Path) -> Any:
        place, lowers = nfs_like(folder), make_lowers(folder)
        with Mounted(place, lowers, **FLAT) as union:
            load = "rm -r dir; while mkdir dir && touch dir/f && mkdir new && mv -T new dir/g && rm -r dir; do echo >> done; done"
            union.sh(f"({load}) >/dev/null 2>&1 &")
            done = union.upper / "done"
            wait_until(lambda: done.exists() and done.stat().st_size >= moment, 10, "the load goes on")
            os.kill(union.server, signal.SIGKILL)
            union.wait_for_server()
        with Mounted(place, lowers, **FLAT) as union:
            shown = union.sh("ls -A dir 2>/dev/null || true").split()
            return shown, os.listdir(place / "work"), union.sh("rm -rf dir; mkdir dir; ls -A dir; rmdir dir; ls")

    shown, work, after = in_parent(body)
    assert set(shown) <= {"f", "g"}
    assert work == []
    assert "dir" not in after.split()
