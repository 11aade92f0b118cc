"""Unpacking in the flat form, which needs no namespace; the native form is an integration test."""

import errno
import json
import os
import stat
import tarfile
from pathlib import Path

import pytest

from rootless.errors import CorruptImage
from rootless.images.attributes import FLAT, OVERRIDE_STAT, Attributes
from rootless.images.compression import Limits
from rootless.images.removal import remove_tree
from rootless.images.unpack import Unpacked, unpack
from tests.support import tars
from tests.support.tars import file, folder, hard_link, make, member, symlink


def extract(archive: bytes, target: Path, attributes: Attributes | None = None) -> Unpacked:
    target.mkdir(exist_ok=True)
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    umask = os.umask(0)
    try:
        return unpack([archive], root, attributes or Attributes(FLAT), Limits())
    finally:
        os.umask(umask)
        os.close(root)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "d"


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def test_files_links_and_attributes(target: Path) -> None:
    attributes = Attributes(FLAT)
    archive = make(
        [
            folder("./", mode=0o711, mtime=5),
            folder("./etc", mode=0o700, uid=7, gid=8, mtime=9),
            file("etc/file", b"text", mode=0o4711, uid=1, mtime=123),
            hard_link("etc/hard", "./etc/file"),
            symlink("etc/link", "/anywhere", uid=3),
            (member("etc/fifo", tarfile.FIFOTYPE, mode=0o600), b""),
        ]
    )
    unpacked = extract(archive, target, attributes)
    assert (target / "etc/file").read_bytes() == b"text"
    assert (target / "etc/hard").stat().st_ino == (target / "etc/file").stat().st_ino
    assert os.readlink(target / "etc/link") == "/anywhere"
    assert stat.S_ISFIFO((target / "etc/fifo").stat().st_mode)
    assert stat.S_IMODE((target / "etc/file").stat().st_mode) == 0o711  # no set-ID bit of the user's own
    assert os.getxattr(target / "etc/file", OVERRIDE_STAT) == b"1:0:4711:file"
    assert os.getxattr(target / "etc", OVERRIDE_STAT) == b"7:8:0700:dir"
    assert [int(path.stat().st_mtime) for path in (target, target / "etc", target / "etc/file")] == [5, 9, 123]
    assert attributes.side == [["etc/link", 3, 0, 0o644], ["etc/fifo", 0, 0, 0o600]]
    assert (unpacked.size, unpacked.members, unpacked.implied) == (4, 6, [])


def test_folders_without_a_member_are_told(target: Path) -> None:
    unpacked = extract(make([file("a/b/c", b""), folder("a/b")]), target)
    assert unpacked.implied == [b"", b"a"]
    assert stat.S_IMODE((target / "a").stat().st_mode) == 0o755


def test_whiteouts_take_the_kernels_form(target: Path) -> None:
    extract(make([folder("a"), file("a/.wh.gone"), file("b/.wh..wh..opq"), file("b/new"), file(".wh..wh.plnk")]), target)
    assert is_whiteout(target / "a/gone")
    assert os.getxattr(target / "b", "user.overlay.opaque") == b"y"
    assert sorted(os.listdir(target)) == ["a", "b"]


def test_a_folder_in_place_of_a_whiteout_is_opaque(target: Path) -> None:
    for entries in ([file(".wh.x"), folder("x"), file("x/f")], [file("x/f"), file(".wh.x")], [file(".wh.x"), file("x/f")]):
        where = target.with_name(str(len(os.listdir(target.parent))))
        extract(make(entries), where)
        assert os.getxattr(where / "x", "user.overlay.opaque") == b"y"
        assert (where / "x/f").exists()


def test_later_members_replace_earlier_ones(target: Path) -> None:
    archive = make(
        [
            *(file("a", b"old"), file("a", b"new")),
            *(folder("b"), file("b/x/y"), file("b", b"file")),
            *(symlink("c", "/etc"), folder("c"), file("c/d")),
            *(file(f"g/{'d/' * 500}f"), file("g", b"after a deep folder")),
            *(file(".wh.e"), file("e", b"back")),
            *(file("f", b"1"), hard_link("f", "a")),
        ]
    )
    extract(archive, target)
    contents = [(target / name).read_bytes() for name in ("a", "b", "e", "f")]
    assert contents == [b"new", b"file", b"back", b"new"]
    assert not (target / "c").is_symlink()


def test_devices_are_left_out_and_told(target: Path) -> None:
    unpacked = extract(make([(member("dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3), b""), file("dev/x")]), target)
    assert (unpacked.devices, unpacked.device_names) == (1, ["dev/null"])
    assert os.listdir(target / "dev") == ["x"]


def test_xattrs_are_set_but_for_those_that_could_forge(target: Path) -> None:
    names = ("user.mine", "user.overlay.opaque", "user.overlay.redirect", "user.containers.override_stat", "trusted.overlay.opaque")
    extract(make([file("f", pax_headers={f"SCHILY.xattr.{name}": "y" for name in names})]), target)
    assert sorted(os.listxattr(target / "f")) == [OVERRIDE_STAT, "user.mine"]
    assert os.getxattr(target / "f", OVERRIDE_STAT) == b"0:0:0644:file"


def hostile() -> list[tuple[str, bytes]]:
    raw = tars.raw_header
    return [
        ("climbs out.*a/../../x", make([file("a/../../x")])),
        ("climbs out", make([symlink("l", "x"), hard_link("h", "../../etc/passwd")])),
        ("absolute.*/etc/cron", make([file("/etc/cron")])),
        ("absolute", make([file("a"), hard_link("b", "/etc/passwd")])),
        ("'l' is not a folder", make([symlink("l", "/tmp"), file("l/x")])),
        ("'l' is not a folder", make([folder("d"), symlink("l", "d"), folder("l/sub")])),
        ("'f' is not a folder", make([file("f"), file("f/x")])),
        ("hard link to 'no'", make([hard_link("h", "no")])),
        ("hard link to 'l/passwd'", make([symlink("l", "/etc"), hard_link("h", "l/passwd")])),
        ("hard link to 'd'", make([folder("d"), hard_link("h", "d")])),
        ("hard link to 'x'", make([file(".wh.x"), hard_link("h", "x")])),
        ("NUL", make([file("x", pax_headers={"path": "a\0b"})])),
        ("NUL", make([symlink("x", "y", pax_headers={"linkpath": "a\0b"})])),
        ("whiteout hides nothing", make([file("a/.wh.")])),
        ("whiteout hides nothing", make([file("a/.wh...")])),
        ("root of the layer", raw(b"./.", b"0") + tars.END),
        ("longer than 255", make([file("x" * 256)])),
        ("has 5000 bytes", make([file("x/" * 2500)])),
    ]


@pytest.mark.parametrize(("message", "archive"), hostile(), ids=range(len(hostile())))
def test_hostile_members_are_refused_by_name(target: Path, message: str, archive: bytes) -> None:
    outside = target.parent / "outside"
    outside.mkdir()
    with pytest.raises(CorruptImage, match=message):
        extract(archive, target)
    assert list(outside.iterdir()) == []
    assert sorted(os.listdir(target.parent)) == ["d", "outside"]


def test_endless_members_stop_at_the_limit(target: Path) -> None:
    target.mkdir()
    root = os.open(target, os.O_RDONLY)
    with pytest.raises(CorruptImage, match="more than 3 members"):
        unpack([make([file(str(number)) for number in range(5)])], root, Attributes(FLAT), Limits(members=3))
    os.close(root)


def test_deep_paths_need_no_recursion_and_few_descriptors(target: Path) -> None:
    deep = "/".join("d" for _ in range(2000))
    extract(make([file(f"{deep}/f", b"x")]), target)
    assert len(os.listdir("/proc/self/fd")) < 60
    remove_tree(str(target))
    assert not target.exists()


def test_errors_of_the_disk_name_the_member(target: Path) -> None:
    with pytest.raises(OSError, match="name too long") as failure:
        extract(make([symlink("a/link", "x" * 5000)]), target)
    assert (failure.value.errno, failure.value.filename) == (errno.ENAMETOOLONG, "a/link")


def test_sparse_files_keep_their_holes(target: Path) -> None:
    headers = {"GNU.sparse.map": "1000000,3", "GNU.sparse.size": "2000000", "GNU.sparse.numblocks": "1"}
    unpacked = extract(make([file("s", b"abc", pax_headers=headers)]), target)
    content = (target / "s").read_bytes()
    assert (len(content), content[1_000_000:1_000_003], unpacked.size) == (2_000_000, b"abc", 3)
    assert (target / "s").stat().st_blocks * 512 < 100_000
    assert json.dumps([path.decode() for path in unpacked.implied]) == '[""]'
