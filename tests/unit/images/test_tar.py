"""The streaming reader against what `tarfile` and GNU tar write, and what a hostile image has."""

import os
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from rootless.errors import CorruptImage
from rootless.images.tar import TarReader
from tests.support import tars

LONG = "/".join(["a-rather-long-name-of-a-folder"] * 9) + "/file"


def blocks_of(archive: bytes, size: int) -> Iterator[bytes]:
    return (archive[position : position + size] for position in range(0, len(archive), size))


def read(archive: bytes, size: int = 1 << 20) -> list[tuple[object, bytes]]:
    reader = TarReader(blocks_of(archive, size))
    return [(one, b"".join(bytes(part) for part in reader.content())) for one in reader]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("size", [1, 7, 511, 512, 513, 1 << 20])
def test_members_are_the_same_whatever_the_form_and_the_blocks(form: int, size: int) -> None:
    long_name = LONG[:90] if form == tarfile.USTAR_FORMAT else LONG
    archive = tars.make(
        [
            tars.folder("dir", mode=0o1777, uid=5, gid=6),
            tars.file("dir/file", b"content" * 100, mode=0o4755, mtime=77),
            tars.symlink("dir/link", "../target"),
            tars.hard_link("dir/hard", "dir/file"),
            tars.file(long_name, b"x"),
            (tars.member("dev", tarfile.CHRTYPE, devmajor=1, devminor=3), b""),
        ],
        form,
    )
    found = read(archive, size)
    names = [one.name.rstrip(b"/") for one, _ in found]  # type: ignore[attr-defined]
    assert names == [b"dir", b"dir/file", b"dir/link", b"dir/hard", long_name.encode(), b"dev"]
    (folder, _), (file, content), (link, _), (hard, _), _, (device, _) = found
    assert (folder.mode, folder.uid, folder.gid) == (0o1777, 5, 6)  # type: ignore[attr-defined]
    assert (file.mode, file.mtime, content) == (0o4755, 77 * 10**9, b"content" * 100)  # type: ignore[attr-defined]
    assert (link.link, hard.link, device.device) == (b"../target", b"dir/file", (1, 3))  # type: ignore[attr-defined]


def test_pax_headers_carry_xattrs_times_and_big_numbers() -> None:
    headers = {"SCHILY.xattr.user.a": "v\nw", "mtime": "-1.5", "path": "näme", "uid": "3000000"}
    ((one, _),) = read(tars.make([tars.file("plain", b"", pax_headers=headers)]))
    assert one.xattrs == {b"user.a": b"v\nw"}  # type: ignore[attr-defined]
    assert (one.mtime, one.name, one.uid) == (-1_500_000_000, "näme".encode(), 3_000_000)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "options", [["--format=gnu"], *(["--format=posix", f"--sparse-version={version}"] for version in ("0.0", "0.1", "1.0"))]
)
def test_sparse_files_of_gnu_tar(tmp_path: Path, options: list[str]) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        for position in range(30):  # more than a GNU header holds
            file.seek(position * 300_000)
            file.write(b"data" * 1024)
        file.truncate(20_000_000)
    archive = subprocess.run(
        ["tar", "-C", tmp_path, "-S", *options, "-cf", "-", "sparse"], capture_output=True, check=True
    ).stdout
    assert len(archive) < 2_000_000
    ((one, content),) = read(archive, 1000)
    whole = bytearray(one.size)  # type: ignore[attr-defined]
    for offset, length in one.pieces:  # type: ignore[attr-defined]
        whole[offset : offset + length], content = content[:length], content[length:]
    assert one.name == b"sparse"  # type: ignore[attr-defined]
    assert bytes(whole) == path.read_bytes()
    assert not content


def test_numbers_in_base_256() -> None:
    ((one, _),) = read(tars.make([tars.file("f", b"", uid=2**31, mtime=2**40)], tarfile.GNU_FORMAT))
    assert (one.uid, one.mtime) == (2**31, min(2**40 * 10**9, 2**63 - 1))  # type: ignore[attr-defined]


def broken() -> Iterable[tuple[str, bytes]]:
    whole = tars.make([tars.file("file", b"x" * 2000)])
    yield "in the middle of a file", whole[:1500]
    yield "in the middle of a header", whole[:300]
    yield "checksum", b"\1" + whole[1:]
    yield "not a tar", os.urandom(512)
    yield "unknown type", tars.raw_header(b"x", b"Q") + tars.END
    yield "after an extended header", tars.raw_header(b"x", b"L", 3) + b"abc".ljust(512, b"\0") + tars.END
    yield "extended header of", tars.raw_header(b"x", b"x", 1 << 30)
    yield "malformed PAX", tars.raw_header(b"x", b"x", 9) + b"99 a=b\n\n\n".ljust(512, b"\0") + tars.END
    yield "out of range", tars.make([tars.file("f", b"", pax_headers={"uid": "4294967295"})])


@pytest.mark.parametrize(("message", "archive"), list(broken()))
def test_broken_archives_are_refused(message: str, archive: bytes) -> None:
    with pytest.raises(CorruptImage, match=message):
        read(archive)


def test_what_follows_the_end_is_read_for_the_digest() -> None:
    taken = []

    def blocks() -> Iterator[bytes]:
        for block in (tars.make([]), b"rubbish", b"more"):
            taken.append(block)
            yield block

    assert list(TarReader(blocks())) == []
    assert len(taken) == 3
