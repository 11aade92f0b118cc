"""Loading archives of all forms; hostile and damaged ones are refused with the member's name, and nothing of them is kept."""

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from rootless.errors import CorruptImage, InvalidInput, NoSuchObject
from rootless.images import media_types, platform
from rootless.images.compression import Limits
from rootless.images.load_archive import load_archive
from rootless.images.store import ImageStore, layer_folders
from tests.integration.images.conftest import Place
from tests.support import archives, tars
from tests.support.archives import docker_files, hex_of, oci_files, tar_of
from tests.support.registries import build_image, digest_of

pytestmark = pytest.mark.engine

BASE = tars.make([tars.folder("etc", uid=3), tars.file("etc/a", b"a" * 3000, uid=33, mode=0o4755), tars.file("gone")])
TOP = tars.make([tars.file("etc/b", b"b"), tars.file(".wh.gone")])
IMAGE = build_image([BASE, TOP])
PACKED = build_image([gzip.compress(BASE), zstandard.compress(TOP)], rootfs={"diff_ids": [digest_of(BASE), digest_of(TOP)]})
DOCKER = docker_files(IMAGE, [BASE, TOP])
OCI = oci_files(PACKED)


def load(place: Place, archive: bytes, **options: Any) -> list[tuple[str, tuple[str, ...]]]:
    found = place.run(lambda: load_archive(place.locations, io.BytesIO(archive), **options))
    return [(one.image.id, one.names) for one in found]


def kept(place: Place) -> list[str]:
    """What is left of a load that failed: files in the store and folders of layers."""
    folders = (place.locations.layers, f"{place.locations.images}/partial", f"{place.locations.images}/blobs/sha256")
    return [name for folder in folders if os.path.exists(folder) for name in os.listdir(folder)]


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress, lzma.compress, bz2.compress])
@pytest.mark.parametrize("files", [DOCKER, OCI])
def test_forms_and_compressions(place: Place, files: archives.Files, compress: Any) -> None:
    (place.folder / "archive").write_bytes(compress(tar_of(files)))
    done = place.rl("load", "-q", "-i", str(place.folder / "archive"))
    name = "app:1" if files is DOCKER else "example.com/app:1"
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, f"Loaded image: {name}\n", b"")
    image = place.run(ImageStore(place.locations).get, name)
    assert image.id == (IMAGE if files is DOCKER else PACKED).config_digest
    assert image.diff_ids == (digest_of(BASE), digest_of(TOP))
    lower = place.run(layer_folders, place.locations, image)[1]
    assert place.in_parent(lambda path: [os.stat(path).st_uid, os.stat(path).st_mode & 0o7777], f"{lower}/etc/a") == [33, 0o4755]
    assert os.listdir(f"{place.locations.images}/partial") == []


def test_standard_input_as_a_pipe_and_as_a_file(place: Place) -> None:
    piped = place.rl("load", data=tar_of(DOCKER))
    assert piped.stdout == b"Loaded image: app:1\n"
    assert b"Copying layer" in piped.stderr
    again = place.rl("load", data=tar_of(DOCKER))
    assert (again.stdout, again.stderr) == (b"Loaded image: app:1\n", b"")


def test_folders(place: Place) -> None:
    for name, files in (("oci", OCI), ("docker", DOCKER)):
        for member, content in files.items():
            target = place.folder / name / member
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    assert place.rl("load", "-i", str(place.folder / "oci")).stdout == b"Loaded image: example.com/app:1\n"
    assert place.rl("load", "-i", str(place.folder / "docker")).stdout == b"Loaded image: app:1\n"


def test_an_old_archive_links_its_layers(place: Place) -> None:
    """As `docker save` wrote before version 25 for layers that images share."""
    config = IMAGE.blobs[IMAGE.config_digest]
    entry = {"Config": "c.json", "RepoTags": None, "Layers": ["one/layer.tar", "two/layer.tar"]}
    archive = tars.make(
        [
            tars.folder("one"),
            tars.symlink("one/layer.tar", "../zero/layer.tar"),
            tars.file("zero/layer.tar", BASE),
            tars.file("./three", TOP),
            tars.hard_link("two/layer.tar", "./three"),
            tars.file("c.json", config),
            tars.file("manifest.json", json.dumps([entry]).encode()),
        ]
    )
    assert load(place, archive) == [(IMAGE.config_digest, ())]
    done = place.rl("load", data=archive)
    assert done.stdout.decode() == f"Loaded image ID: {IMAGE.config_digest}\n"


def test_an_archive_of_docker_25_is_both(place: Place) -> None:
    blobs = oci_files(IMAGE, "1")
    names = [f"blobs/sha256/{hex_of(digest_of(layer))}" for layer in (BASE, TOP)]
    entry = {"Config": f"blobs/sha256/{hex_of(IMAGE.config_digest)}", "RepoTags": ["app:1"], "Layers": names}
    files = {**blobs, "manifest.json": json.dumps([entry]).encode(), "repositories": b"{}"}
    assert load(place, tar_of(files)) == [(IMAGE.config_digest, ("docker.io/library/app:1",))]


@pytest.mark.parametrize(
    ("written", "loaded"),
    [
        ("quay.io/a/b:1", "quay.io/a/b:1"),
        ("b:1", "localhost/b:1"),
        ("a/b:1", "localhost/a/b:1"),
        ("latest", "localhost/latest:latest"),
        ("no name at all", None),
        (None, None),
    ],
)
def test_names_in_oci_layouts_are_podman_s(place: Place, written: str | None, loaded: str | None) -> None:
    assert load(place, tar_of(oci_files(PACKED, written))) == [(PACKED.config_digest, (loaded,) if loaded else ())]


def test_several_images_and_names(place: Place) -> None:
    other = build_image([BASE], created="2020-01-01T00:00:00Z")
    files = {**DOCKER, **docker_files(other, [BASE])}
    entries = json.loads(DOCKER["manifest.json"]) + json.loads(docker_files(other, [BASE], ["b:1", "b:2"])["manifest.json"])
    files["manifest.json"] = json.dumps(entries).encode()
    names = ("docker.io/library/b:1", "docker.io/library/b:2")
    assert load(place, tar_of(files)) == [(IMAGE.config_digest, ("docker.io/library/app:1",)), (other.config_digest, names)]
    assert set(place.run(ImageStore(place.locations).get, "b:1").names) == set(names)


def test_an_index_gives_the_image_for_this_machine(place: Place) -> None:
    descriptors = [
        {
            "mediaType": media_types.OCI_MANIFEST,
            "digest": f"sha256:{'1' * 64}",
            "size": 3,
            "platform": {"os": "plan9", "architecture": "mips"},
        },
        {
            "mediaType": media_types.OCI_MANIFEST,
            "digest": PACKED.digest,
            "size": len(PACKED.manifest),
            "platform": {"os": "linux", "architecture": platform.of_machine().architecture},
        },
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": descriptors}).encode()
    described = {"mediaType": media_types.OCI_INDEX, "digest": digest_of(index), "size": len(index)}
    files = {**oci_files(PACKED, **described), f"blobs/sha256/{hex_of(digest_of(index))}": index}
    assert load(place, tar_of(files))[0][0] == PACKED.config_digest
    with pytest.raises(NoSuchObject, match="plan9/arm"):
        place.run(lambda: load_archive(place.locations, io.BytesIO(tar_of(files)), platform=platform.parse("plan9/arm")))


def test_an_image_that_is_there_keeps_its_digest_and_gets_the_name(place: Place) -> None:
    load(place, tar_of(oci_files(PACKED)))
    before = place.run(ImageStore(place.locations).get, "example.com/app:1")
    packed = {f"{hex_of(digest_of(layer))}.tar": layer for layer in (BASE, TOP)}
    entry = {"Config": "c", "RepoTags": ["other:1"], "Layers": list(packed)}
    files = {"c": PACKED.blobs[PACKED.config_digest], **packed, "manifest.json": json.dumps([entry]).encode()}
    assert load(place, tar_of(files)) == [(PACKED.config_digest, ("docker.io/library/other:1",))]
    after = place.run(ImageStore(place.locations).get, "other:1")
    assert after.manifest_digest == before.manifest_digest
    assert set(after.names) == {"example.com/app:1", "docker.io/library/other:1"}


def changed(files: archives.Files, **changes: bytes | None) -> archives.Files:
    """Replace members by the beginning of their names; None leaves one out."""
    found = dict(files)
    for start, content in changes.items():
        name = next(name for name in found if name.startswith(start))
        if content is None:
            del found[name]
        else:
            found[name] = content
    return found


def entry(**fields: Any) -> bytes:
    return json.dumps([{**json.loads(DOCKER["manifest.json"])[0], **fields}]).encode()


TOP_NAME = f"{hex_of(digest_of(TOP))}.tar"
PACKED_LAYER = next(name for name, content in OCI.items() if content[:2] == b"\x1f\x8b")
EVIL_LAYER = tars.make([tars.file("a"), tars.file("../evil")])
EVIL_IMAGE = build_image([BASE, EVIL_LAYER])
DEEP = b"[" * 100_000
FIFO = (tars.member("pipe", tarfile.FIFOTYPE), b"")

HOSTILE: list[tuple[bytes, str]] = [
    (tar_of(DOCKER, tars.file("../x")), r"climbs out with `\.\.`: '\.\./x'"),
    (tar_of(DOCKER, tars.file("/abs")), "absolute: '/abs'"),
    (tar_of(DOCKER, tars.symlink("a/l", "../../etc/passwd")), "'a/l' is a link that leads out"),
    (tar_of(DOCKER, tars.symlink("l", "/etc/passwd")), "'l' is a link that leads out"),
    (tar_of(DOCKER, tars.hard_link("h", "../x")), "'h' is a link that leads out"),
    (tar_of(DOCKER, FIFO), "'pipe' is a device, a FIFO"),
    (tar_of({**DOCKER, TOP_NAME: BASE}), f"{TOP_NAME}.*the config says {digest_of(TOP)}"),
    (tar_of({**DOCKER, TOP_NAME: b"no tar at all" * 99}), f"{TOP_NAME}.*not a tar"),
    (tar_of({name: content for name, content in DOCKER.items() if name != TOP_NAME}), f"'{TOP_NAME}' is missing"),
    (tar_of({**DOCKER, "manifest.json": entry(Layers=[TOP_NAME])}), "names 2 layers, but the manifest has 1"),
    (tar_of({**DOCKER, "manifest.json": entry(Layers=["../../etc/passwd", "b"])}), r"climbs out.*etc/passwd"),
    (tar_of({**DOCKER, "manifest.json": entry(Config="/etc/passwd")}), "absolute: '/etc/passwd'"),
    (tar_of({**DOCKER, "manifest.json": entry(Config=7)}), "image 1 of manifest.json has no Config"),
    (tar_of({**DOCKER, "manifest.json": entry(RepoTags=["Not A Name"])}), "invalid name for an image: 'Not A Name'"),
    (tar_of({**DOCKER, "manifest.json": b"{"}), "'manifest.json' is not JSON"),
    (tar_of({**DOCKER, "manifest.json": DEEP}), "'manifest.json' is not JSON"),
    (tar_of({**DOCKER, "manifest.json": b"[" * 200 + b"]" * 200}), "'manifest.json' is nested more than 100 levels deep"),
    (tar_of({**DOCKER, "manifest.json": b" " * (5 << 20)}), "'manifest.json' has 5242880 bytes"),
    (tar_of(changed(DOCKER, **{hex_of(IMAGE.config_digest): b'{"a":1}'})), f"{hex_of(IMAGE.config_digest)}.json': wrong digest"),
    (tar_of(docker_files(EVIL_IMAGE, [BASE, EVIL_LAYER])), rf"{hex_of(digest_of(EVIL_LAYER))}.tar': .*\.\./evil"),
    (tar_of({**OCI, PACKED_LAYER: OCI[PACKED_LAYER][:-1] + b"x"}), f"{PACKED_LAYER}': wrong digest"),
    (tar_of({**OCI, PACKED_LAYER: OCI[PACKED_LAYER] + b"x"}), f"{PACKED_LAYER}' has .* bytes, not"),
    (tar_of(oci_files(PACKED, size=1)), "bytes, not 1"),
    (tar_of(oci_files(PACKED, digest="sha256:../../../etc/passwd")), "no valid digest"),
    (tar_of(oci_files(PACKED, digest=f"sha256:{'0' * 64}")), f"blobs/sha256/{'0' * 64}' is missing"),
    (tar_of({"repositories": b"{}"}), "before Docker 1.10"),
    (tar_of({"etc/passwd": b""}), "no archive of images"),
    (b"", "no archive of images"),
    (b"<html>" * 1000, "not a tar"),
    (tar_of(DOCKER)[: tar_of(DOCKER).index(b"aaaa") + 9], "ends in the middle"),
    (gzip.compress(tar_of(DOCKER))[:-9], "ends in the middle"),
    (lzma.compress(tar_of(DOCKER))[:-9], "ends in the middle"),
    (bz2.compress(tar_of(DOCKER))[:-9], "ends in the middle"),
]


@pytest.mark.parametrize(("archive", "message"), HOSTILE)
def test_of_a_hostile_archive_nothing_is_kept(place: Place, archive: bytes, message: str) -> None:
    with pytest.raises(CorruptImage, match=message) as streamed:
        load(place, archive)
    assert str(streamed.value).startswith("cannot load standard input: ")
    assert "pull" not in str(streamed.value.hint)
    (place.folder / "archive.tar").write_bytes(archive)
    with pytest.raises(CorruptImage, match=message) as from_file:
        place.run(lambda: load_archive(place.locations, str(place.folder / "archive.tar")))
    assert str(from_file.value).startswith(f"cannot load {place.folder}/archive.tar: ")
    assert kept(place) == []
    assert place.run(ImageStore(place.locations).list) == []


def test_of_a_good_image_beside_a_bad_one_nothing_is_kept(place: Place) -> None:
    bad = docker_files(EVIL_IMAGE, [BASE, EVIL_LAYER])
    entries = json.loads(DOCKER["manifest.json"]) + json.loads(bad["manifest.json"])
    with pytest.raises(CorruptImage, match="evil"):
        load(place, tar_of({**DOCKER, **bad, "manifest.json": json.dumps(entries).encode()}))
    assert kept(place) == []


def test_a_wrong_layer_is_found_although_the_right_one_is_unpacked(place: Place) -> None:
    load(place, tar_of(DOCKER))
    liar = build_image([BASE, gzip.compress(BASE)], rootfs={"diff_ids": [digest_of(BASE), digest_of(TOP)]})
    with pytest.raises(CorruptImage, match="the content of the layer has the diff ID"):
        load(place, tar_of(oci_files(liar)))


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress, lzma.compress, bz2.compress])
def test_bombs(place: Place, compress: Any) -> None:
    bomb = compress(tar_of({"zeros": bytes(8 << 20)}))
    with pytest.raises(CorruptImage, match="decompression bomb"):
        load(place, bomb, limits=Limits(total_bytes=1 << 20))
    assert kept(place) == []


def test_a_folder_s_links_stay_inside_and_its_fifos_are_not_waited_for(place: Place) -> None:
    folder = place.folder / "evil"
    folder.mkdir()
    (folder / "manifest.json").symlink_to("/etc/passwd")
    assert "no archive of images" in place.rl("load", "-i", str(folder)).stderr.decode()
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    done = place.rl("load", "-i", str(folder))
    assert (done.returncode, b"'manifest.json' is no regular file" in done.stderr) == (1, True)


def test_what_cannot_be_opened_is_told(place: Place) -> None:
    with pytest.raises(InvalidInput, match="cannot open the archive: No such file"):
        place.run(lambda: load_archive(place.locations, "/nowhere.tar"))
    assert not Path(place.locations.layers).exists()


def test_an_image_of_the_store_that_goes_during_the_load_comes_back(place: Place) -> None:
    """The first image is there and not read; while the second is copied, another process removes it."""
    other = build_image([tars.make([tars.file("other")])])
    entry = oci_files(other, "example.com/other:1")
    files = oci_files(PACKED, "example.com/new:1")
    index = json.loads(files["index.json"])
    index["manifests"] += json.loads(entry["index.json"])["manifests"]
    assert load(place, tar_of(OCI)) == [(PACKED.config_digest, ("example.com/app:1",))]

    def gone(_text: str) -> None:
        layout = ImageStore(place.locations).layout
        with layout.locked():
            layout.replace_descriptors([])

    names = load(place, tar_of({**entry, **files, "index.json": json.dumps(index).encode()}), note=gone)
    assert names == [(PACKED.config_digest, ("example.com/new:1",)), (other.config_digest, ("example.com/other:1",))]
    assert place.run(ImageStore(place.locations).get, "example.com/new:1").names == ("example.com/new:1",)
    assert place.run(ImageStore(place.locations).find, "example.com/app:1") is None
