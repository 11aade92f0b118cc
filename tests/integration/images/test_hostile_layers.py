"""Layers that must not be unpacked, as a pull meets them: refused with the member's name, and nothing of the layer is kept."""

import gzip
import io
import json
import os
import stat
import tarfile
import time

import pytest

from rootless.errors import CorruptImage, InvalidInput, NodeLacks, RegistryError, RlError
from rootless.images import layers
from rootless.images.attributes import NATIVE
from rootless.images.pull import pull
from rootless.images.store import Image, ImageStore
from rootless.images.unpack_image import LayerUnpacker, read_record
from rootless.namespaces.idmap import default_maps
from rootless.registry.retry import Patience
from tests.integration.images.conftest import Place
from tests.support import tars
from tests.support.registries import build_image, digest_of
from tests.support.scripted_registry import Request, ScriptedRegistry
from tests.support.tars import file, folder, hard_link, make, member, symlink
from tests.support.test_user import USER

pytestmark = pytest.mark.engine

HAS_RANGE = not default_maps(USER.pw_uid, USER.pw_gid).maps.is_single
BOMB = gzip.compress(make([file("fine"), file("zeros", bytes(30 << 20))]), 9)


def pulled(place: Place, *contents: bytes, **environ: str) -> Image:
    def work(host: str) -> Image:
        os.environ.update(environ)
        return pull(place.locations, f"{host}/app", environ=place.environ, etc=place.etc)

    with ScriptedRegistry() as server:
        server.serve(build_image(contents))
        image: Image = place.run(work, server.host)
    return image


def refused(place: Place, error: type[RlError], message: str, *contents: bytes, **environ: str) -> None:
    with pytest.raises(error, match=message):
        pulled(place, *contents, **environ)
    assert os.listdir(place.locations.layers) == []
    assert place.run(ImageStore(place.locations).list) == []


def damaged_header() -> bytes:
    archive = bytearray(make([file("good", b"x" * 600), file("bad")]))
    archive[512 + 1024 + 20] ^= 1  # in the second header, whose checksum is wrong then
    return bytes(archive)


HOSTILE = [
    ("climbs out.*'a/../../x'", make([file("a/../../x")])),
    ("absolute: '/etc/cron'", make([file("/etc/cron")])),
    ("'l' is not a folder.*'l/x'", make([symlink("l", "/tmp"), file("l/x")])),
    ("'h' is a hard link to 'later'", make([hard_link("h", "later"), file("later")])),
    ("climbs out.*passwd", make([hard_link("h", "../../etc/passwd")])),
    ("absolute.*passwd", make([hard_link("h", "/etc/passwd")])),
    ("NUL.*x", make([file("x", pax_headers={"path": "x\0y"})])),
    ("'x' is .*NUL", make([symlink("x", "y", pax_headers={"linkpath": "a\0b"})])),
    ("checksum is wrong.*'good'", damaged_header()),
    ("ends in the middle of a file.*'cut'", make([file("cut", b"x" * 2000)])[:1500]),
    ("impossible map", make([file("s", b"abc", pax_headers={"GNU.sparse.map": "9,3", "GNU.sparse.size": "5"})])),
    ("unknown type b'Q': 'odd'", tars.raw_header(b"odd", b"Q") + tars.END),
    ("malformed number", tars.raw_header(b"n").replace(b"0000000\0", b"zz00000\0", 1) + tars.END),
]


@pytest.mark.parametrize(("message", "layer"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_members(place: Place, message: str, layer: bytes) -> None:
    if "malformed" in message:
        message = "malformed number|checksum"
    refused(place, CorruptImage, rf"layer [0-9a-f]{{12}}: .*(?:{message})", layer)


def test_limits_are_those_of_the_environment(place: Place) -> None:
    refused(place, CorruptImage, "decompression bomb.*'(fine|zeros)'", BOMB, RL_LAYER_MAX_BYTES=str(10 << 20))
    refused(place, CorruptImage, "more than 1 members.*'zeros'", BOMB, RL_LAYER_MAX_FILES="1")
    refused(place, InvalidInput, "RL_LAYER_MAX_FILES is 'many'", BOMB, RL_LAYER_MAX_FILES="many")
    assert pulled(place, BOMB, RL_LAYER_MAX_BYTES=str(40 << 20)).layer_keys


@pytest.mark.skipif(not HAS_RANGE, reason="the test user has no subordinate IDs: layers are flat, and take any owner")
@pytest.mark.parametrize("owner", [{"uid": 4_000_000_000}, {"gid": 4_000_000_000}])
def test_owners_outside_of_the_range(place: Place, owner: dict[str, int]) -> None:
    layer = make([file("fine"), file("of/nobody", **owner)], tarfile.PAX_FORMAT)
    refused(place, NodeLacks, "'of/nobody' belongs to .*4000000000.* outside of your subordinate IDs", layer)


def test_devices_are_left_out_and_said(place: Place) -> None:
    layer = make([(member(f"dev/{one}", tarfile.CHRTYPE, devmajor=1, devminor=one), b"") for one in range(1, 6)])
    image = pulled(place, layer)
    folder_of_layer = layers.folder_of(place.locations, image.layer_keys[0])
    assert os.listdir(f"{folder_of_layer}/{layers.TREE}/dev") == []
    assert read_record(folder_of_layer)["devicesLeftOut"] == 5
    blob = ImageStore(place.locations).layout.blob_path(digest_of(layer))

    def warnings() -> list[str]:
        with LayerUnpacker(place.locations) as unpacker:
            return unpacker.warnings_of(unpacker.extract(blob, None))

    expected = "left out 5 devices, which a user namespace cannot make: dev/1, dev/2, dev/3 and 2 more"
    assert place.in_parent(warnings) == [expected]
    imported = place.rl("import", "-", data=layer)
    assert (imported.returncode, imported.stderr.decode()) == (0, f"rl: warning: {expected}\n")
    entry = [{"Config": "c", "RepoTags": ["devices:1"], "Layers": ["l"]}]
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]}}).encode()
    archive = make([file("c", config), file("l", layer), file("manifest.json", json.dumps(entry).encode())])
    place.rl("rmi", "-af")
    loaded = place.rl("load", "-q", data=archive)
    assert expected in loaded.stderr.decode()


def test_a_device_0_0_is_the_overlay_s_whiteout(place: Place) -> None:
    lower = make([folder("d"), file("d/gone"), file("d/kept")])
    image = pulled(place, lower, make([folder("d"), (member("d/gone", tarfile.CHRTYPE), b"")]))
    upper = layers.folder_of(place.locations, image.layer_keys[1])
    if read_record(upper)["form"] == NATIVE:
        status = os.lstat(f"{upper}/{layers.TREE}/d/gone")
        assert (stat.S_ISCHR(status.st_mode), status.st_rdev) == (True, 0)
    assert read_record(upper)["devicesLeftOut"] == 0


def test_headers_that_come_one_by_one_end(place: Place) -> None:
    """Each byte comes in time, and all of them never would."""
    patience = Patience(connect_seconds=2, read_seconds=1, stall_seconds=1, document_seconds=1.5, tries=2, first_pause=0.02)

    def dribbles(request: Request) -> None:
        with io.BytesIO(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300) as answer:
            while byte := answer.read(1):
                request.wfile.write(byte)
                time.sleep(0.1)

    with ScriptedRegistry() as server:
        server.replies["/v2/app/manifests/latest"] = dribbles
        since = time.monotonic()
        with pytest.raises(RegistryError, match="too slow"):
            place.run(lambda: pull(place.locations, f"{server.host}/app", environ=place.environ, etc=place.etc, patience=patience))
        assert time.monotonic() - since < 10
