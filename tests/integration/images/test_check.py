"""`rl system check`: whatever is damaged is found, named and repaired; what is sound, or under way, is left alone."""

import gzip
import io
import json
import os
import shutil
import stat
from collections.abc import Callable

import pytest

from rootless.errors import CorruptImage
from rootless.images import additions, layers
from rootless.images.attributes import OVERRIDE_STAT
from rootless.images.check import Holder, Report, check
from rootless.images.check_repair import Repaired, repair
from rootless.images.import_tar import import_tar
from rootless.images.pull import pull
from rootless.images.store import Image, ImageStore
from rootless.namespaces.idmap import default_maps
from tests.integration.images.conftest import Place
from tests.integration.images.test_flat import ARCHIVE, STRANGER, as_stranger
from tests.support.registries import Registry, build_image
from tests.support.tars import file, folder, hard_link, make, symlink
from tests.support.test_user import USER

pytestmark = pytest.mark.engine

SPARSE = {"GNU.sparse.map": "1000000,3", "GNU.sparse.size": "2000000", "GNU.sparse.numblocks": "1"}
LOWER = make(
    [
        folder("etc", mode=0o750, uid=7),
        file("etc/a file", b"content", uid=5, gid=6, mode=0o4755),
        file("etc/labelled", b"x", pax_headers={"SCHILY.xattr.user.mine": "y"}),
        file("etc/replaced", b"old"),
        *(hard_link("etc/other", "etc/replaced"), file("etc/replaced", b"new")),
        file("etc/line\nend\\", b"z"),
        symlink("link", "etc"),
        file("sparse", b"abc", pax_headers=SPARSE),
        file("old/gone"),
        file("big", bytes(range(256)) * 8000),
    ]
)
UPPER = make([file("etc/added", b"1"), file("old/.wh.gone"), folder("new"), file("new/.wh..wh..opq")])
LAYERS = [gzip.compress(LOWER, 1, mtime=0), gzip.compress(UPPER, 1, mtime=0)]
IMAGE = build_image(LAYERS)
HAS_RANGE = not default_maps(USER.pw_uid, USER.pw_gid).maps.is_single


@pytest.fixture
def name(place: Place, registry: Registry) -> str:
    registry.push("check:1", LAYERS)
    found = f"{registry.host}/check:1"
    pulled(place, found)
    return found


def pulled(place: Place, name: str) -> Image:
    image: Image = place.run(lambda: pull(place.locations, name, environ=place.environ, etc=place.etc))
    return image


def checked(place: Place, *holders: Holder, quick: bool = False) -> Report:
    report: Report = place.run(check, place.locations, lambda: holders, quick=quick)
    return report


def repaired(place: Place, report: Report, *holders: Holder) -> list[Repaired]:
    done: list[Repaired] = place.run(repair, place.locations, report.problems, lambda: holders)
    return done


def layer(place: Place, name: str, number: int = 0) -> str:
    image = place.run(ImageStore(place.locations).get, name)
    return layers.folder_of(place.locations, image.layer_keys[number])


def test_a_sound_store_has_no_problems(place: Place, name: str) -> None:
    report = checked(place)
    assert (report.problems, report.notes) == ([], [])
    assert (report.images, report.layers) == (1, 2)
    assert report.blobs == len(os.listdir(f"{place.locations.images}/blobs/sha256"))
    found = place.rl("system", "check")
    assert (found.returncode, found.stdout.endswith(b"0 containers: no problems\n")) == (0, True), found
    assert checked(place, quick=True).problems == []


def test_an_empty_store_has_none_either(place: Place) -> None:
    assert checked(place) == Report(0, 0, 0, 0, 0, [], [])
    assert place.rl("system", "check", "--repair").returncode == 0


def write(path: str, content: bytes) -> None:
    """Change a file's bytes and nothing else, as a failing disk does."""
    status = os.stat(path)
    with open(path, "r+b") as changed:
        changed.write(content)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))


def retarget(path: str) -> None:
    status = os.lstat(path)
    os.unlink(path)
    os.symlink("tmp", path)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns), follow_symlinks=False)


DAMAGES: list[tuple[str, Callable[[str], object]]] = [
    ("/etc/a file has another content", lambda tree: write(f"{tree}/etc/a file", b"C")),
    ("/big has another content", lambda tree: write(f"{tree}/big", b"C")),
    ("/sparse has another content", lambda tree: write(f"{tree}/sparse", bytes(1_000_001) + b"C")),
    ("/etc/other has another content", lambda tree: write(f"{tree}/etc/other", b"C")),
    ("/link has another content", lambda tree: retarget(f"{tree}/link")),
    ("/etc/a file has 3 bytes, not 7", lambda tree: os.truncate(f"{tree}/etc/a file", 3)),
    ("/etc/a file has the mode 0600, not", lambda tree: os.chmod(f"{tree}/etc/a file", 0o600)),
    ("/etc has the mode 0700, not", lambda tree: os.chmod(f"{tree}/etc", 0o700)),
    ("/etc/labelled has other extended attributes", lambda tree: os.removexattr(f"{tree}/etc/labelled", "user.mine")),
    ("/etc/labelled was changed", lambda tree: os.utime(f"{tree}/etc/labelled", (5, 5))),
    ("/etc/labelled is missing", lambda tree: os.unlink(f"{tree}/etc/labelled")),
    ("/old is missing", lambda tree: shutil.rmtree(f"{tree}/old")),
    ("/etc/intruder is no part of it", lambda tree: os.mkfifo(f"{tree}/etc/intruder")),
    ("/link is a folder", lambda tree: (os.unlink(f"{tree}/link"), os.mkdir(f"{tree}/link"))),
    ("files is damaged", lambda tree: write(f"{os.path.dirname(tree)}/files", b"?")),
    ("layer.json", lambda tree: os.unlink(f"{os.path.dirname(tree)}/layer.json")),
    ("No such file or directory", shutil.rmtree),
    ("it is missing", lambda tree: shutil.rmtree(os.path.dirname(tree))),
]


@pytest.mark.parametrize(("text", "damage"), DAMAGES, ids=range(len(DAMAGES)))
def test_a_damaged_layer_is_found_and_unpacked_again(
    place: Place, name: str, text: str, damage: Callable[[str], object]
) -> None:
    tree = f"{layer(place, name)}/{layers.TREE}"
    place.in_parent(lambda: damage(tree) and None)
    report = checked(place)
    assert [(one.kind, one.users) for one in report.problems] == [("layer", (name,))], report.problems
    assert text in report.problems[0].text
    assert [(one.text, one.is_right) for one in repaired(place, report)] == [("unpacked again", True)]
    assert checked(place).problems == []
    assert not os.path.exists(place.locations.trash) or os.listdir(place.locations.trash) == []


@pytest.mark.skipif(not HAS_RANGE, reason="the test user has no subordinate IDs")
def test_owners_and_whiteouts_are_compared(place: Place, name: str) -> None:
    lower, upper = (f"{layer(place, name, number)}/{layers.TREE}" for number in (0, 1))
    place.in_parent(lambda: os.chown(f"{lower}/etc/a file", 1, 1))
    place.in_parent(lambda: os.unlink(f"{upper}/old/gone"))
    place.in_parent(lambda: os.removexattr(f"{upper}/new", "user.overlay.opaque"))
    texts = {text for problem in checked(place).problems for text in problem.text.split("; ")}
    assert texts >= {"/etc/a file belongs to 1:1, not 5:6", "/old/gone is missing", "/new has other extended attributes"}


def test_quick_reads_no_contents(place: Place, name: str) -> None:
    tree = f"{layer(place, name)}/{layers.TREE}"
    place.in_parent(lambda: write(f"{tree}/big", b"C"))
    assert checked(place, quick=True).problems == []
    place.in_parent(lambda: os.truncate(f"{tree}/big", 10))
    assert [one.kind for one in checked(place, quick=True).problems] == ["layer"]


def test_a_damaged_layer_s_blob_is_removed_and_the_image_named(place: Place, name: str) -> None:
    digest = IMAGE.layers[0]["digest"]
    write(ImageStore(place.locations).layout.blob_path(digest), b"damage")
    result = place.rl("system", "check")
    assert result.returncode == 1
    assert f"blob {digest}: it has the digest sha256:".encode() in result.stdout
    result = place.rl("system", "check", "--repair")
    assert (result.returncode, f"removed: pull {name} again".encode() in result.stdout) == (1, True), result
    assert pulled(place, name).layer_keys
    assert checked(place).problems == []


@pytest.mark.parametrize("digest", [IMAGE.config_digest, IMAGE.digest], ids=["config", "manifest"])
@pytest.mark.parametrize("missing", [False, True])
def test_an_image_without_its_documents_loses_its_entry(place: Place, name: str, digest: str, missing: bool) -> None:
    path = ImageStore(place.locations).layout.blob_path(digest)
    if missing:
        os.unlink(path)
    else:
        write(path, b"damage")
    report = checked(place)
    done = repaired(place, report)
    assert any(f"pull {name} again" in one.text and not one.is_right for one in done), done
    assert place.run(ImageStore(place.locations).list) == []
    assert checked(place).problems == []
    assert pulled(place, name).id == IMAGE.config_digest
    assert checked(place).problems == []


def test_a_missing_blob_and_a_wrong_size_are_told(place: Place, name: str) -> None:
    path = ImageStore(place.locations).layout.blob_path
    os.unlink(path(IMAGE.layers[0]["digest"]))
    os.truncate(path(IMAGE.layers[1]["digest"]), 10)
    problems = checked(place, quick=True).problems
    assert sorted(one.text.split()[-1] for one in problems) == ["it", "missing"] or len(problems) == 2
    assert {one.users for one in problems} == {(name,)}
    place.in_parent(lambda: shutil.rmtree(layer_of_image(place)))
    texts = [one.text for one in repaired(place, checked(place))]
    assert any("cannot be unpacked again" in text and f"pull {name} again" in text for text in texts), texts


def layer_of_image(place: Place) -> str:
    (first, *_rest) = sorted(os.listdir(place.locations.layers))
    return f"{place.locations.layers}/{first}"


def test_layers_that_containers_need(place: Place, name: str) -> None:
    keys = place.run(ImageStore(place.locations).get, name).layer_keys
    tree = f"{layers.folder_of(place.locations, keys[0])}/{layers.TREE}"
    running, stopped = Holder("busy", keys, is_running=True), Holder("idle", ("sha256:" + "0" * 64,), is_running=False)
    place.in_parent(lambda: os.truncate(f"{tree}/big", 10))
    report = checked(place, running, stopped)
    assert {one.users for one in report.problems} == {(name, "container busy"), ("container idle",)}
    done = {one.problem.users[-1]: one for one in repaired(place, report, running, stopped)}
    assert "container busy runs with it" in done["container busy"].text
    assert "no image has it" in done["container idle"].text
    assert os.path.exists(tree)
    assert [one.is_right for one in repaired(place, checked(place))] == [True]


def test_nothing_is_repaired_while_an_image_is_added(place: Place, name: str) -> None:
    blob = ImageStore(place.locations).layout.blob_path(IMAGE.layers[0]["digest"])
    write(blob, b"damage")
    report = checked(place)
    place.write("data/images.adding", "")
    with additions.adding(place.locations):
        assert ["left alone" in one.text for one in repaired(place, report)] == [True]
    assert os.path.exists(blob)


def test_left_overs_are_noted_and_removed(place: Place, name: str) -> None:
    place.run(os.makedirs, f"{place.locations.layers}/tmp-left/d")
    place.write(f"data/images/partial/sha256-{'0' * 64}", "half")
    report = checked(place)
    assert report.problems == []
    assert [note.split(",")[0] for note in report.notes] == ["1 unfinished downloads of 4 bytes", "1 layers half unpacked"]
    assert place.rl("system", "check").returncode == 0
    assert place.rl("system", "check", "--repair").returncode == 0
    assert not os.path.exists(f"{place.locations.layers}/tmp-left")


def test_a_broken_index_is_told(place: Place, name: str) -> None:
    index = f"{place.locations.images}/index.json"
    place.write("data/images/index.json", "[]")
    report = checked(place)
    assert [(one.kind, one.name) for one in report.problems] == [("index", index)]
    assert [one.is_right for one in repaired(place, report)] == [False]
    place.write("data/images/index.json", json.dumps({"manifests": [{"digest": "x"}]}))
    report = checked(place)
    assert [(one.kind, one.text) for one in report.problems] == [("image", "the index's entry has no valid digest: 'x'")]
    repaired(place, report)
    assert checked(place).problems == []


def test_a_damaged_container_record_is_told(place: Place, name: str) -> None:
    place.write(f"data/containers/{'a' * 64}/container.json", "{}")
    result = place.rl("system", "check")
    assert (result.returncode, b"container aaaaaaaaaaaa: " in result.stdout) == (1, True), result


def test_what_is_removed_meanwhile_is_no_problem(place: Place, name: str) -> None:
    """The store of an image that goes while it is read: all that is told must still be true at the end."""
    index = f"{place.locations.images}/index.json"
    with open(index) as before:
        text = before.read()
    place.write("data/images/index.json", json.dumps({"manifests": []}))
    os.unlink(ImageStore(place.locations).layout.blob_path(IMAGE.config_digest))
    assert checked(place).problems == []
    place.write("data/images/index.json", text)
    with pytest.raises(CorruptImage):
        place.run(ImageStore(place.locations).get, IMAGE.config_digest)
    assert stat.S_ISREG(os.stat(index).st_mode)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without subordinate IDs")
def test_flat_layers_are_checked_too(place: Place) -> None:
    for path in (place.folder, place.environ["RL_RUNROOT"]):
        os.chown(path, STRANGER, STRANGER)
    image = as_stranger(place, lambda: import_tar(place.locations, io.BytesIO(ARCHIVE), "app"))
    assert as_stranger(place, lambda: check(place.locations, list)).problems == []
    unpacked = layers.folder_of(place.locations, image.layer_keys[0])
    os.setxattr(f"{unpacked}/{layers.TREE}/etc/file", OVERRIDE_STAT, b"0:0:4777:file")
    write(f"{unpacked}/{layers.SIDE_FILE}", b"[ ]")
    (problem,) = as_stranger(place, lambda: check(place.locations, list)).problems
    assert f"{layers.SIDE_FILE} is damaged" in problem.text
    (done,) = as_stranger(place, lambda: repair(place.locations, [problem], list))
    assert done.text == "unpacked again"
    assert as_stranger(place, lambda: check(place.locations, list)).problems == []


def test_what_was_replaced_after_the_check_stays(place: Place, name: str) -> None:
    blob = ImageStore(place.locations).layout.blob_path(IMAGE.layers[0]["digest"])
    with open(blob, "rb") as file:
        content = file.read()
    write(blob, b"damage")
    tree = f"{layer(place, name)}/{layers.TREE}"
    place.in_parent(lambda: os.truncate(f"{tree}/big", 10))
    report = checked(place)
    assert sorted(one.kind for one in report.problems) == ["blob", "layer"]
    os.unlink(blob)
    place.write(f"data/images/blobs/sha256/{os.path.basename(blob)}", "")
    write(blob, content)
    folder = os.path.dirname(tree)
    os.rename(folder, f"{folder}-away")
    os.rename(f"{folder}-away", folder)
    assert {one.text for one in repaired(place, report)} == {"replaced meanwhile"}
    assert os.path.exists(f"{tree}/big")
    assert [one.kind for one in checked(place).problems] == ["layer"]
