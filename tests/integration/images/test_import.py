"""Importing and the embedded image, in the native form, as an unprivileged user."""

import gzip
import io
import json
import lzma
import os
import stat
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from rootless.errors import CorruptImage, InvalidInput, NodeLacks
from rootless.images import busybox
from rootless.images.import_tar import import_tar
from rootless.images.removal import remove_tree
from rootless.images.store import ImageStore, layer_folders
from tests.integration.images.conftest import Place
from tests.support.tars import file, folder, hard_link, make, member, symlink

pytestmark = pytest.mark.engine

ARCHIVE = make(
    [
        folder("./"),
        folder("etc", mode=0o751, uid=3, gid=4),
        file("etc/file", b"text", mode=0o6755, uid=33, gid=65534, mtime=77),
        hard_link("etc/hard", "etc/file"),
        symlink("etc/link", "file", uid=5),
        file("ping", b"x", pax_headers={"SCHILY.xattr.security.capability": "\x01\0\0\x02\0 \0\0\0\0\0\0\0\0\0\0\0\0\0\0"}),
        (member("dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3), b""),
    ]
)


def imported(place: Place, archive: bytes = ARCHIVE, name: str | None = "app", **options: Any) -> Any:
    return place.run(lambda: import_tar(place.locations, io.BytesIO(archive), name, **options))


def facts(tree: str) -> dict[str, Any]:
    """What a process in the parent namespace sees of the tree."""
    found = {}
    for path in ("", "etc", "etc/file", "etc/link"):
        status = os.lstat(f"{tree}/{path}")
        found[path] = [status.st_uid, status.st_gid, oct(stat.S_IMODE(status.st_mode)), int(status.st_mtime)]
    found["capability"] = os.getxattr(f"{tree}/ping", "security.capability").hex()[:8]
    found["links"] = os.stat(f"{tree}/etc/file").st_nlink
    found["dev"] = os.listdir(f"{tree}/dev")
    return found


@pytest.mark.parametrize("compress", [bytes, gzip.compress, zstandard.compress, lzma.compress])
def test_owners_modes_and_capabilities_are_native(place: Place, compress: Any) -> None:
    image = imported(place, compress(ARCHIVE))
    (tree,) = place.run(layer_folders, place.locations, image)
    found = place.in_parent(facts, tree)
    assert found["etc"][:3] == [3, 4, "0o751"]
    assert found["etc/file"] == [33, 65534, "0o6755", 77]
    assert found["etc/link"][0] == 5
    assert (found["capability"], found["links"], found["dev"]) == ("01000002", 2, [])
    record = json.loads(Path(tree).with_name("layer.json").read_bytes())
    assert (record["form"], record["key"], record["devicesLeftOutNames"]) == ("native", image.layer_keys[0], ["dev/null"])
    outside = os.stat(f"{tree}/etc/file")
    assert outside.st_uid >= 100_000


def test_changes_message_and_names(place: Place) -> None:
    image = imported(place, changes=['CMD ["/bin/true"]', "ENV A=b"], message="hello")
    assert image.config["config"] == {"Cmd": ["/bin/true"], "Env": ["A=b"]}
    assert image.config["history"][0]["comment"] == "hello"
    assert image.names == ("docker.io/library/app:latest",)
    assert imported(place, name=None, message="nameless").names == ()


def test_skopeo_reads_the_store_in_place(place: Place) -> None:
    image = imported(place)
    command = ["skopeo", "inspect", f"oci:{place.locations.images}:docker.io/library/app:latest"]
    inspected = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert inspected["Digest"] == image.manifest_digest


def test_layers_that_vanished_are_unpacked_again(place: Place) -> None:
    image = imported(place)
    (tree,) = place.run(layer_folders, place.locations, image)
    place.in_parent(remove_tree, os.path.dirname(tree))
    assert not os.path.exists(tree)
    assert place.run(layer_folders, place.locations, image) == [tree]
    assert place.in_parent(facts, tree)["etc/file"][0] == 33


@pytest.mark.parametrize(
    ("archive", "error", "message"),
    [
        (b"", InvalidInput, "empty"),
        (ARCHIVE[: ARCHIVE.index(b"text") + 2], CorruptImage, "ends in the middle"),
        (gzip.compress(ARCHIVE)[:-9], CorruptImage, "ends in the middle"),
        (lzma.compress(ARCHIVE)[:-9], CorruptImage, "ends in the middle"),
        (b"<html>" * 1000, CorruptImage, "not a tar"),
        (make([file("a"), file("../b")]), CorruptImage, r"\.\./b"),
        (make([file("a", uid=1_000_000)]), NodeLacks, "outside of your subordinate IDs"),
        (make([file("a"), file("/b")]), CorruptImage, "absolute"),
    ],
)
def test_of_what_cannot_be_imported_nothing_is_kept(place: Place, archive: bytes, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        imported(place, archive)
    for parent in (place.locations.layers, f"{place.locations.images}/partial", f"{place.locations.images}/blobs/sha256"):
        assert not os.path.exists(parent) or os.listdir(parent) == []
    assert place.run(ImageStore(place.locations).list) == []


def test_the_embedded_image_is_reproducible(place: Place) -> None:
    image = place.run(busybox.install, place.locations, "/bin/busybox")
    again = place.run(busybox.install, place.locations, "/bin/busybox")
    assert image == again
    assert image.names == ("docker.io/library/busybox:latest",)
    assert image.config["config"]["Cmd"] == ["sh"]
    (tree,) = place.run(layer_folders, place.locations, image)
    assert os.stat(f"{tree}/bin/sh").st_ino == os.stat(f"{tree}/bin/busybox").st_ino
    with pytest.raises(InvalidInput, match="not a busybox"):
        place.run(busybox.install, place.locations, "/bin/false")


def test_the_verb(place: Place) -> None:
    place.write("root.tar", "")
    (place.folder / "root.tar").write_bytes(ARCHIVE)
    done = place.rl("import", "-c", 'CMD ["x"]', str(place.folder / "root.tar"), "app:1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().strip() == place.run(ImageStore(place.locations).get, "app:1").id
    assert place.rl("import", "-", "app:2", data=ARCHIVE).returncode == 0
    assert place.rl("import", "--platform", "linux/arm/v7", "-m", "said", "-", "app:3", data=ARCHIVE).returncode == 0
    config = place.run(ImageStore(place.locations).get, "app:3").config
    assert (config["os"], config["architecture"], config["variant"]) == ("linux", "arm", "v7")
    assert config["history"][0]["comment"] == "said"
    url = place.rl("import", "https://example.com/root.tar")
    assert (url.returncode, b"will not import from a URL" in url.stderr) == (1, True)
    missing = place.rl("import", "/nowhere.tar")
    assert (missing.returncode, missing.stderr) == (1, b"rl: cannot open the archive: No such file or directory: /nowhere.tar\n")


def test_a_small_disk_is_told_and_nothing_half_made(place: Place) -> None:
    """A tmpfs of 1 MiB as the data root, in a mount namespace of its own."""
    script = (
        f"mount -t tmpfs -o size=1m,mode=777 none {place.folder} && "
        f"export RL_ROOT={place.folder}/data RL_RUNROOT=/tmp/rl-$$ HOME=/ && "
        f"head -c 4000000 /dev/urandom > /dev/shm/f-$$ && tar -C /dev/shm -cf /dev/shm/t-$$ f-$$ && "
        f"{sys.executable} -m cli import /dev/shm/t-$$ x; echo $?; "
        f"find {place.folder} -type f -size +0; rm -rf /dev/shm/?-$$ /tmp/rl-$$"
    )
    command = ["unshare", "-Urm", "sh", "-c", script]
    done = place.run(lambda: subprocess.run(command, capture_output=True, cwd="/", text=True, check=False))
    assert "1" in done.stdout.split(), done
    assert "No space left" in done.stderr
    assert "blobs" not in done.stdout
