"""Saving: skopeo, podman and umoci read what rl writes, and rl what they write: same IDs, diff IDs and files."""

import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import zstandard

from rootless.images.load_archive import load_archive
from rootless.images.store import Image, ImageStore
from tests.integration.images.conftest import Place
from tests.support import tars
from tests.support.archives import docker_files, oci_files, tar_of
from tests.support.registries import build_image, digest_of
from tests.support.test_user import drop_privileges

pytestmark = pytest.mark.engine

LONG = "/".join(["long" * 20] * 4)
BASE = tars.make(
    [
        tars.folder("etc", uid=3, mode=0o751),
        tars.file("etc/a", b"a" * 70_000, uid=33, mode=0o4755, mtime=77),
        tars.hard_link("etc/h", "etc/a"),
        tars.symlink("etc/l", "a"),
        tars.file(LONG, b"far"),
        tars.file("gone"),
    ]
)
TOP = tars.make([tars.file("etc/b", b"b"), tars.file(".wh.gone")])
# One layer of each compression that the store may have.
IMAGE = build_image(
    [gzip.compress(BASE), zstandard.compress(TOP), TOP],
    rootfs={"type": "layers", "diff_ids": [digest_of(BASE), digest_of(TOP), digest_of(TOP)]},
)
OTHER = build_image([gzip.compress(BASE)], created="2020-01-01T00:00:00Z")
NAME = "example.com/app:1"
SCHEMAS = Path(__file__).parents[4] / "shared" / "reference" / "oci-schemas" / "image"


@pytest.fixture
def filled(place: Place) -> Place:
    """A store with two images that share a layer."""
    for image, name in ((IMAGE, NAME), (OTHER, "localhost/base:1")):
        archive = tar_of(oci_files(image, name))
        place.run(lambda archive=archive: len(load_archive(place.locations, io.BytesIO(archive))))
    return place


def out(place: Place, name: str) -> str:
    return str(place.folder / "home" / name)


@pytest.fixture(autouse=True)
def home(place: Place) -> None:
    place.run(os.mkdir, place.environ["HOME"])


def save(place: Place, *arguments: str) -> bytes:
    done = place.rl("save", "-q", *arguments)
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout


def tool(*command: str, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def config_digest(name: str) -> str:
    """What skopeo finds as an image's config."""
    config = subprocess.run(["skopeo", "inspect", "--config", "--raw", name], capture_output=True, check=True).stdout
    return digest_of(config)


def test_a_docker_archive_is_what_docker_writes_and_always_the_same(filled: Place) -> None:
    save(filled, "-o", out(filled, "a.tar"), NAME, "localhost/base:1")
    content = (filled.folder / "home/a.tar").read_bytes()
    assert save(filled, NAME, "localhost/base:1") == content
    assert os.stat(out(filled, "a.tar")).st_mode & 0o777 == 0o600
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        entries = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        repositories = json.load(archive.extractfile("repositories"))  # type: ignore[arg-type]
        names = [entry["RepoTags"] for entry in entries]
        for entry, image in zip(entries, (IMAGE, OTHER), strict=True):
            assert digest_of(archive.extractfile(entry["Config"]).read()) == image.config_digest  # type: ignore[union-attr]
            layers = [digest_of(archive.extractfile(name).read()) for name in entry["Layers"]]  # type: ignore[union-attr]
            assert layers == json.loads(image.blobs[image.config_digest])["rootfs"]["diff_ids"]
        for tags in repositories.values():
            for identity in tags.values():
                assert archive.extractfile(f"{identity}/layer.tar") is not None
        assert len(archive.getnames()) == len(set(archive.getnames()))
    assert names == [[NAME], ["localhost/base:1"]]
    assert set(repositories) == {"example.com/app", "localhost/base"}


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "docker-dir", "oci-dir"])
def test_skopeo_umoci_and_we_read_every_form(filled: Place, form: str) -> None:
    path = out(filled, "saved")
    save(filled, "--format", form, "-o", path, NAME)
    transport = {"docker-dir": f"dir:{path}", "oci-dir": f"oci:{path}:{NAME}"}.get(form, f"{form}:{path}:{NAME}")
    assert config_digest(transport) == IMAGE.config_digest
    # umoci knows no zstd.
    second = out(filled, "second")
    save(filled, "--format", form, "-o", second, "localhost/base:1")
    tool("skopeo", "copy", "-q", transport.replace(path, second).replace(NAME, "localhost/base:1"), f"oci:{out(filled, 'copy')}:x")
    tool("umoci", "unpack", "--rootless", "--image", f"{out(filled, 'copy')}:x", out(filled, "bundle"))
    assert sorted(os.listdir(f"{out(filled, 'bundle')}/rootfs/etc")) == ["a", "h", "l"]
    assert filled.rl("rmi", "-f", NAME, "localhost/base:1").returncode == 0
    loaded = filled.rl("load", "-q", "-i", path).stdout.decode()
    assert loaded == (f"Loaded image ID: {IMAGE.config_digest}\n" if form == "docker-dir" else f"Loaded image: {NAME}\n")
    image = filled.run(ImageStore(filled.locations).get, IMAGE.config_digest)
    assert image.diff_ids == (digest_of(BASE), digest_of(TOP), digest_of(TOP))


def test_podman_reads_ours_and_we_read_podman_s(filled: Place) -> None:
    save(filled, "-o", out(filled, "ours.tar"), NAME, "localhost/base:1")
    podman = [
        "podman", f"--root={filled.folder}/graph", f"--runroot={filled.folder}/graph-run", "--storage-driver=vfs",
    ]  # fmt: skip
    loaded = tool(*podman, "load", "-q", "-i", out(filled, "ours.tar"))
    assert loaded.splitlines() == [f"Loaded image: {NAME}", "Loaded image: localhost/base:1"]
    ids = tool(*podman, "images", "-q", "--no-trunc", NAME).split()
    assert ids == [IMAGE.config_digest]
    filled.rl("rmi", "-f", NAME, "localhost/base:1")
    for form in ("docker-archive", "oci-archive"):
        tool(*podman, "save", "-q", "--format", form, "-o", f"{filled.folder}/{form}", NAME)
        os.chmod(f"{filled.folder}/{form}", 0o644)
        done = filled.rl("load", "-q", "-i", f"{filled.folder}/{form}")
        assert done.stdout.decode() == f"Loaded image: {NAME}\n"
        image = filled.run(ImageStore(filled.locations).get, NAME)
        assert image.diff_ids == (digest_of(BASE), digest_of(TOP), digest_of(TOP))
        if form == "docker-archive":  # for the other podman writes a config of its own
            assert image.id == IMAGE.config_digest
        filled.rl("rmi", "-f", NAME)


def test_what_is_written_is_valid(filled: Place) -> None:
    if not SCHEMAS.is_dir():
        pytest.skip("the reference schemas are not beside this clone")
    path = Path(out(filled, "layout"))
    save(filled, "--format", "oci-dir", "-o", str(path), NAME, "localhost/base:1")
    validate("image-index-schema.json", json.loads((path / "index.json").read_text()))
    validate("image-layout-schema.json", json.loads((path / "oci-layout").read_text()))
    for descriptor in json.loads((path / "index.json").read_text())["manifests"]:
        manifest = json.loads((path / "blobs" / descriptor["digest"].replace(":", "/")).read_text())
        validate("image-manifest-schema.json", manifest)


def validate(schema: str, document: Any) -> None:
    """Validate by draft 7, which knows no `id`: the references between the files are relative to their names."""
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT7

    files = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}
    registry: Any = Registry().with_resources((name, Resource(content, DRAFT7)) for name, content in files.items())
    jsonschema.Draft7Validator(files[schema], registry=registry).validate(document)


def test_compress_and_what_it_is_for(filled: Place) -> None:
    load = docker_files(build_image([BASE]), [BASE], ["plain:1"])
    filled.run(lambda: len(load_archive(filled.locations, io.BytesIO(tar_of(load)))))
    save(filled, "--format", "docker-dir", "--compress", "-o", out(filled, "d"), "plain:1")
    manifest = json.loads((filled.folder / "home/d/manifest.json").read_text())
    (layer,) = manifest["layers"]
    assert layer["mediaType"].endswith("tar.gzip")
    packed = (filled.folder / "home/d" / layer["digest"].removeprefix("sha256:")).read_bytes()
    assert (digest_of(packed), gzip.decompress(packed)) == (layer["digest"], BASE)
    refused = filled.rl("save", "--compress", "plain:1")
    assert (refused.returncode, b"--compress is for" in refused.stderr) == (1, True)


def test_ids_have_no_names_and_unknown_images_are_told(filled: Place) -> None:
    content = save(filled, IMAGE.config_digest)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        (entry,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert entry["RepoTags"] is None
    missing = filled.rl("save", "-o", out(filled, "no.tar"), NAME, "nothing:1")
    assert (missing.returncode, b"No such image: nothing:1" in missing.stderr) == (1, True)
    assert os.listdir(filled.environ["HOME"]) == []


def test_a_damaged_store_is_told_and_no_file_left(filled: Place) -> None:
    path = filled.folder / "data/images/blobs" / json.loads(IMAGE.manifest)["layers"][0]["digest"].replace(":", "/")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    for form in ("docker-archive", "oci-archive"):
        done = filled.rl("save", "-q", "--format", form, "-o", out(filled, "x.tar"), NAME)
        assert done.returncode == 1
        assert b"damaged" in done.stderr or b"broken" in done.stderr or b"diff ID" in done.stderr
    assert os.listdir(filled.environ["HOME"]) == []


def test_a_terminal_is_refused(filled: Place) -> None:
    primary, secondary = os.openpty()
    command = ["save", NAME]
    with open(secondary, "wb"), open(primary, "rb"):
        done = subprocess.run(
            [sys.executable, "-m", "cli", *command],
            stdout=secondary, stderr=subprocess.PIPE, env=filled.environ, cwd="/", timeout=60, check=False, **drop_privileges(),
        )  # fmt: skip
    assert (done.returncode, b"will not write an archive to the terminal" in done.stderr) == (1, True)


class TestTransports:
    """Names such as `oci:DIR:TAG` for pull, push and run."""

    def test_there_and_back(self, filled: Place) -> None:
        home = filled.environ["HOME"]
        archives = (f"oci:{home}/l:tag", f"oci-archive:{home}/o.tar:tag", f"docker-archive:{home}/d.tar:hello:2", f"dir:{home}/dir")
        for target in archives:
            done = filled.rl("push", NAME, target)
            assert done.returncode == 0, done.stderr
            assert config_digest(target) == IMAGE.config_digest
        filled.rl("rmi", "-f", NAME, "localhost/base:1")
        names = []
        for source in (f"oci:{home}/l:tag", f"oci-archive:{home}/o.tar", f"docker-archive:{home}/d.tar:@0", f"dir:{home}/dir"):
            done = filled.rl("pull", source)
            assert done.returncode == 0, done.stderr
            names.append(done.stdout.decode().strip())
        expected = ["localhost/l:tag", "localhost/o:tag", "docker.io/library/hello:2", "localhost/dir:latest"]
        image: Image = filled.run(ImageStore(filled.locations).get, IMAGE.config_digest)
        assert names == expected
        assert set(image.names) == set(expected)
        assert filled.rl("pull", "-q", f"oci:{home}/l:tag").stdout.decode().strip() == IMAGE.config_digest

    def test_a_layout_is_added_to(self, filled: Place) -> None:
        layout = f"{filled.environ['HOME']}/layout"
        for name, tag in ((NAME, "a"), ("localhost/base:1", "b"), ("localhost/base:1", "a")):
            assert filled.rl("push", "-q", name, f"oci:{layout}:{tag}").returncode == 0
        index = json.loads(Path(layout, "index.json").read_text())
        tags = [one["annotations"]["org.opencontainers.image.ref.name"] for one in index["manifests"]]
        assert tags == ["b", "a"]
        assert config_digest(f"oci:{layout}:a") == OTHER.config_digest
        several = filled.rl("pull", f"oci:{layout}")
        assert (several.returncode, b"choose one" in several.stderr) == (1, True)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("pull", "oci:/nowhere:x"), "cannot open the archive"),
            (("pull", "oci:"), "no path after oci:"),
            (("pull", "docker-daemon:x"), "docker-daemon: is not supported"),
            (("push", NAME, "oci:/etc"), "no OCI layout, and no empty folder"),
            (("push", NAME, "dir:/etc"), "not empty, and is no image's"),
            (("push", NAME, "docker-archive:/etc/passwd"), "exists already"),
            (("run", "dir:/nowhere", "true"), "cannot open the archive"),
        ],
    )
    def test_mistakes(self, filled: Place, arguments: tuple[str, ...], message: str) -> None:
        done = filled.rl(*arguments)
        expected = 125 if arguments[0] == "run" else 1
        assert (done.returncode, message in done.stderr.decode()) == (expected, True), done.stderr


def test_the_bytes_of_another_tool_s_layer_stay(place: Place) -> None:
    """A layer that was made with other tar settings than ours must come out as it went in."""
    old = tars.make([tars.file("x" * 90, b"1")], tarfile.GNU_FORMAT)
    image = build_image([old])
    place.run(lambda: len(load_archive(place.locations, io.BytesIO(tar_of(docker_files(image, [old], ["old:1"]))))))
    with tarfile.open(fileobj=io.BytesIO(save(place, "old:1"))) as archive:
        (entry,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        assert archive.extractfile(entry["Layers"][0]).read() == old  # type: ignore[union-attr]


def test_a_missing_blob_is_told(filled: Place) -> None:
    layer = json.loads(IMAGE.manifest)["layers"][0]["digest"]
    (filled.folder / "data/images/blobs" / layer.replace(":", "/")).unlink()
    done = filled.rl("save", "-o", out(filled, "x"), NAME)
    assert (done.returncode, f"blob {layer} is missing from the store" in done.stderr.decode()) == (1, True)
    assert os.listdir(filled.environ["HOME"]) == []
