"""The union of layers without a mount: the flat form's owners, whiteouts and opaque folders of both forms, links that lead out."""

import io
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from rootless.images.attributes import OVERRIDE_STAT
from rootless.images.import_tar import import_tar
from rootless.images.store import layer_folders
from rootless.storage.merged_tree import MergedTree, xattrs_of
from tests.integration.images.conftest import Place
from tests.integration.images.test_flat import STRANGER, as_stranger, needs_root
from tests.support.tars import file, folder, make, symlink

ARCHIVE = make(
    [
        folder("./"),
        folder("etc", mode=0o550, uid=3, gid=4),
        file("etc/file", b"text", mode=0o4700, uid=33),
        symlink("link", "etc", uid=5),
    ]
)


def shown(trees: list[str]) -> dict[str, Any]:
    """Return owner, group and mode of all files of a union."""
    found = {}
    with MergedTree(trees) as tree:
        for node in tree.walk():
            xattrs = {}
            if not stat.S_ISLNK(node.status.st_mode):
                descriptor = os.open(node.name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=node.folder)
                xattrs = xattrs_of(descriptor)
                os.close(descriptor)
            found[node.path.decode()] = tuple(tree.attributes(node, xattrs))
    return found


@needs_root
@pytest.mark.engine
def test_flat_layers_show_what_is_noted(place: Place) -> None:
    for path in (place.folder, place.environ["RL_RUNROOT"]):
        os.chown(path, STRANGER, STRANGER)

    def look() -> dict[str, Any]:
        return shown(layer_folders(place.locations, import_tar(place.locations, io.BytesIO(ARCHIVE), "app")))

    found = as_stranger(place, look)
    assert found == {"": (0, 0, 0o755), "etc": (3, 4, 0o550), "etc/file": (33, 0, 0o4700), "link": (5, 0, 0o644)}


def test_whiteouts_opaque_folders_and_files_between(tmp_path: Path) -> None:
    lower = ("low/d/x/kept", "low/d/w", "low/d/o/hidden", "low/d/between/deep", "low/was-folder/f")
    for path in (*lower, "mid/d/between", "top/d/o/new"):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path)
    (tmp_path / "top/d/between").mkdir()
    (tmp_path / "top/d/between/above").touch()
    (tmp_path / "top/was-folder").touch()
    (tmp_path / "top/d/w").touch()
    os.setxattr(tmp_path / "top/d/o", "user.overlay.opaque", b"y")
    os.setxattr(tmp_path / "top/d", "user.overlay.opaque", b"x")
    os.setxattr(tmp_path / "top/d/w", "user.overlay.whiteout", b"y")
    found = list(shown([str(tmp_path / name) for name in ("top", "mid", "low")]))
    assert found == [
        "", "d", "was-folder", "d/between", "d/o", "d/x", "d/between/above", "d/o/new", "d/x/kept",
    ]  # fmt: skip


def test_a_folder_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "upper/d").mkdir(parents=True)
    (tmp_path / "upper/d/inside").touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").touch()
    seen = []
    with MergedTree([str(tmp_path / "upper")]) as tree:
        for node in tree.walk():
            seen.append(node.path)
            if node.path == b"d":
                (tmp_path / "upper/d").rename(tmp_path / "upper/moved")
                (tmp_path / "upper/d").symlink_to(tmp_path / "outside")
    assert b"d/secret" not in seen


@pytest.mark.parametrize("noted", [b"", b"junk", b"1:2", b"-1:0:644:file", b"4294967295:0:644:file", b"0:0:rw:file"])
@pytest.mark.parametrize("form", ["flat", "native"])
def test_what_a_container_forges_says_nothing(tmp_path: Path, form: str, noted: bytes) -> None:
    """Where a layer is flat it is believed; elsewhere any user of a container could say that a file is root's."""
    for name in ("upper", "layer/tree"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "layer/layer.json").write_text(json.dumps({"form": form}))
    status = os.stat(tmp_path / "upper")
    on_disk = (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))
    with MergedTree([str(tmp_path / "upper"), str(tmp_path / "layer/tree")]) as tree:
        (node,) = tree.walk()
        for upper_or_layer in (node, node._replace(layer=1)):
            assert tuple(tree.attributes(upper_or_layer, {OVERRIDE_STAT: noted})) == on_disk
            found = tuple(tree.attributes(upper_or_layer, {OVERRIDE_STAT: b"7:8:4755:file"}))
            assert found == ((7, 8, 0o4755) if form == "flat" else on_disk)
