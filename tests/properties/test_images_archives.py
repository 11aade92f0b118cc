"""What is written as a tar is read back the same, by us and by others; archives of any bytes are read or refused."""

import contextlib
import io
import json
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rootless.errors import CorruptImage, NoSuchObject
from rootless.images import tar
from rootless.images.archive_images import archived_images, check_names
from rootless.images.archive_members import FolderMembers, Keeper, open_file
from rootless.images.compression import Limits
from rootless.images.layout import Layout
from rootless.images.removal import remove_tree
from rootless.images.tar import Member, TarReader
from rootless.images.tar_writer import TarWriter
from rootless.locations import Locations
from tests.support import tars
from tests.support.archives import docker_files, oci_files, tar_of
from tests.support.registries import build_image

PART = st.binary(min_size=1, max_size=130).filter(lambda part: not set(b"\0/") & set(part) and part not in {b".", b".."})
NAME = st.lists(PART, min_size=1, max_size=5).map(b"/".join)
TIME = st.one_of(st.integers(0, 2**33).map(lambda seconds: seconds * 10**9), st.integers(-(2**62), 2**62))
XATTRS = st.dictionaries(st.sampled_from([b"user.a", b"security.capability"]), st.binary(max_size=300))
IDS = st.one_of(st.integers(0, 70_000), st.integers(0, 2**32 - 2))
CONTENT = st.binary(max_size=2000)


def written(members: list[tuple[Member, bytes]]) -> bytes:
    output = io.BytesIO()
    writer = TarWriter(output.write)
    for member, content in members:
        writer.add(member, [content[:700], content[700:]])
    writer.finish()
    return output.getvalue()


@st.composite
def entries(draw: st.DrawFn) -> tuple[Member, bytes]:
    kind = draw(st.sampled_from([tar.REGULAR, tar.SYMLINK, tar.HARD_LINK, tar.DIRECTORY, tar.FIFO, tar.CHARACTER]))
    content = draw(CONTENT) if kind == tar.REGULAR else b""
    name = draw(NAME) + (b"/" if kind == tar.DIRECTORY else b"")
    link = draw(NAME) if kind in {tar.SYMLINK, tar.HARD_LINK} else b""
    device = draw(st.tuples(st.integers(0, 4095), st.integers(0, 2**20))) if kind == tar.CHARACTER else (0, 0)
    mode, uid, gid = draw(st.integers(0, 0o7777)), draw(IDS), draw(IDS)
    return Member(name, kind, mode, uid, gid, len(content), draw(TIME), link, device, draw(XATTRS), None), content


@settings(max_examples=200, deadline=None)
@given(st.lists(entries(), max_size=4))
def test_what_is_written_is_read_back(members: list[tuple[Member, bytes]]) -> None:
    archive = written(members)
    assert len(archive) % 10_240 == 0
    reader = TarReader([archive])
    assert [(member, b"".join(reader.content())) for member in reader] == members
    with tarfile.open(fileobj=io.BytesIO(archive)) as other:
        names = [info.name.encode("utf-8", "surrogateescape") for info in other]
        assert names == [member.name.removesuffix(b"/") for member, _ in members]
        assert [info.size for info in other] == [member.size for member, _ in members]


def test_a_size_beyond_octal_is_read_back() -> None:
    from rootless.images.tar_writer import file, header

    big = 9 << 30
    block = header(file("big", big))
    assert len(block) == tar.BLOCK
    assert tarfile.TarInfo.frombuf(block, "utf-8", "strict").size == big


BASE = tars.make([tars.file("a", b"1")])
IMAGE = build_image([BASE])
ARCHIVES = st.sampled_from([tar_of(docker_files(IMAGE, [BASE])), tar_of(oci_files(IMAGE))])


@contextlib.contextmanager
def keeper() -> Iterator[Keeper]:
    folder = tempfile.mkdtemp(prefix="rl-property-")
    try:
        with Keeper(Layout(Locations(folder, folder))) as made:
            yield made
        assert list(Path(folder, "images/partial").iterdir()) == []
    finally:
        remove_tree(folder)


def read_all(archive: bytes, made: Keeper) -> list[bytes]:
    """Read all images of an archive from a pipe and from a file, which must come to the same."""
    found = []
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(archive)
        file.seek(0)
        for source in (io.BytesIO(archive), file):
            try:
                members = open_file(source, made, Limits(total_bytes=1 << 24))  # type: ignore[arg-type]
                images = archived_images(members)
                check_names(images)
                contents = [image.read() for image in images]
                found.append(b"".join(content.config for content in contents))
                for content in contents:
                    for layer in content.layers:
                        made.keep(layer.member, [members.keep(layer.member).digest.encode()])
            except (CorruptImage, NoSuchObject):
                found.append(b"refused")
    return found


@settings(max_examples=100, deadline=None)
@given(ARCHIVES, st.data())
def test_damaged_archives_are_refused_or_read(archive: bytes, data: st.DataObject) -> None:
    damaged = bytearray(archive)
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    with keeper() as made:
        first, second = read_all(cut, made)
        assert first == second


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.sampled_from(["sha256:" + "0" * 64, "../x", "a"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["Config", "RepoTags", "Layers", "manifests", "digest", "size", "mediaType", "schemaVersion", "config"]
            ),
            inner,
            max_size=6,
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["manifest.json", "index.json"]), JSON)
def test_any_json_is_read_or_refused(name: str, document: object) -> None:
    archive = tars.make([tars.file(name, json.dumps(document).encode()), tars.file("a", b"{}")])
    with keeper() as made:
        first, second = read_all(archive, made)
        assert first == second


def test_a_folder_is_read_as_its_tar(tmp_path: Path) -> None:
    for name, content in docker_files(IMAGE, [BASE]).items():
        (tmp_path / name).write_bytes(content)
    with keeper() as made:
        members = FolderMembers(str(tmp_path), made)
        (image,) = archived_images(members)
        assert image.read().config == IMAGE.blobs[IMAGE.config_digest]
        members.close()
