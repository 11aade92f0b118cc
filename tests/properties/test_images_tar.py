"""Any tree survives tar and unpacking; any bytes whatever are unpacked within their folder or refused."""

import contextlib
import io
import os
import stat
import string
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.errors import CorruptImage, InvalidInput
from rootless.images import mtree, reference
from rootless.images.attributes import FLAT, OVERRIDE_STAT, Attributes
from rootless.images.check_layers import differences
from rootless.images.compression import Limits
from rootless.images.removal import remove_tree
from rootless.images.unpack import unpack
from tests.support import tars

NAMES = st.sampled_from(["a", "b", "c", "é", "x" * 120, " ", ".hidden", "wh.", "..a"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
EVIL = ["..", "../x", "a/../../x", "/etc/x", "a/.wh.b", ".wh..wh..opq", ".wh.a", ".", "./", "a//b", ""]
HOSTILE = st.one_of(PATHS, st.sampled_from(EVIL))
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
FEW = st.lists(st.sampled_from(["a", "b", ".wh.a", ".wh.b", ".wh..wh..opq"]), min_size=1, max_size=3).map("/".join)


def extract(archive: bytes, target: str, block: int = 4096) -> None:
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
    umask = os.umask(0)
    try:
        blocks = (archive[position : position + block] for position in range(0, len(archive), block))
        record = io.BytesIO()
        unpack(blocks, root, Attributes(FLAT), Limits(), mtree.RecordWriter(record))
        os.fchdir(root)
        record.seek(0)
        assert differences(mtree.read(record), native=False, quick=False) == []
    finally:
        os.chdir("/")
        os.umask(umask)
        os.close(root)


@contextlib.contextmanager
def sandbox() -> Iterator[str]:
    """A folder `d` to unpack into, beside a canary that nothing may touch."""
    outer = tempfile.mkdtemp(prefix="rl-property-")
    os.mkdir(f"{outer}/d")
    Path(f"{outer}/x").write_text("canary")
    try:
        yield f"{outer}/d"
        assert sorted(os.listdir(outer)) == ["d", "x"]
        assert Path(f"{outer}/x").read_text() == "canary"
    finally:
        remove_tree(outer)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        PATHS, st.tuples(st.binary(max_size=2000), st.integers(0, 0o777), st.integers(0, 2**32 - 2), st.integers(0, 2**33))
    ),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    st.sampled_from([1, 100, 512, 4096]),
)
def test_trees_round_trip(files: dict[str, tuple[bytes, int, int, int]], form: int, block: int) -> None:
    # A path that is a folder of another cannot be a file.
    kept = {path: value for path, value in files.items() if not any(other.startswith(f"{path}/") for other in files)}
    entries = [tars.file(path, content, mode=mode, uid=uid, mtime=mtime) for path, (content, mode, uid, mtime) in kept.items()]
    with sandbox() as target:
        extract(tars.make(entries, form), target, block)
        for path, (content, mode, uid, mtime) in kept.items():
            found = Path(target, path)
            assert found.read_bytes() == content
            assert int(found.stat().st_mtime) == mtime
            assert os.getxattr(found, OVERRIDE_STAT) == f"{uid}:0:{mode:04o}:file".encode()
        assert sum(len(names) for _, _, names in os.walk(target)) == len(kept)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(HOSTILE, KINDS, HOSTILE), max_size=8))
def test_hostile_members_stay_inside(members: list[tuple[str, bytes, str]]) -> None:
    entries = [(tars.member(name or "a", kind, linkname=link), b"") for name, kind, link in members]
    with sandbox() as target, contextlib.suppress(CorruptImage):
        extract(tars.make(entries), target)
        for folder, _, names in os.walk(target):
            assert all(stat.S_IFMT(os.lstat(f"{folder}/{name}").st_mode) != stat.S_IFBLK for name in names)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(FEW, KINDS, FEW), max_size=10))
def test_members_that_replace_others_are_recorded_as_they_are_on_disk(members: list[tuple[str, bytes, str]]) -> None:
    entries = [(tars.member(name, kind, linkname=link), b"") for name, kind, link in members]
    with sandbox() as target, contextlib.suppress(CorruptImage):
        extract(tars.make(entries), target)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_archives_are_refused_or_read(data: st.DataObject) -> None:
    entries = [tars.folder("d"), tars.file("d/f", b"x" * 700, pax_headers={"SCHILY.xattr.user.a": "b"}), tars.symlink("d/l", "f")]
    archive = bytearray(tars.make(entries))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(archive) - 1))
        archive[position] = data.draw(st.integers(0, 255))
    for start in range(0, len(archive) - 511, 512):  # right checksums, so that the damage is looked at
        header = archive[start : start + 512]
        if header[257:262] == b"ustar":
            header[148:156] = b" " * 8
            archive[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    with sandbox() as target, contextlib.suppress(CorruptImage, OSError):
        extract(bytes(archive[: data.draw(st.integers(0, len(archive)))]), target)


@given(st.text(alphabet=string.ascii_letters + string.digits + ":/@._-[]é \0", max_size=80))
def test_what_is_a_name_means_the_same_however_it_is_written(text: str) -> None:
    try:
        parsed = reference.parse(text)
    except InvalidInput:
        return
    assert reference.parse(parsed.name).name == parsed.name
    assert reference.parse(reference.familiar_name(parsed.name)).name == parsed.name
