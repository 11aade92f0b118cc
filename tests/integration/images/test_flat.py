"""Without subordinate IDs: one ID in the map, so all files are the user's own and layers take the flat form."""

import io
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from rootless.images.attributes import OVERRIDE_STAT
from rootless.images.import_tar import import_tar
from rootless.images.remove import remove
from rootless.images.store import layer_folders
from rootless.linux.own_process import set_dumpable
from tests.integration.images.conftest import Place
from tests.support.tars import file, folder, make, symlink

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become a user without subordinate IDs")
pytestmark = [pytest.mark.engine, needs_root]

STRANGER = 54_321
ARCHIVE = make(
    [
        folder("./"),
        folder("etc", mode=0o550, uid=3, gid=4),
        file("etc/file", b"text", mode=0o4700, uid=33),
        symlink("link", "etc", uid=5),
        file("gone/.wh.x"),
    ]
)


def as_stranger(place: Place, function: Any) -> Any:
    def body() -> Any:
        os.setgroups([])
        os.setresgid(STRANGER, STRANGER, STRANGER)
        os.setresuid(STRANGER, STRANGER, STRANGER)
        set_dumpable(True)  # as after an exec: else /proc/PID of our children is root's
        return function()

    return place.run(body, as_root=True)


def test_all_files_are_the_user_s_and_the_xattr_says_whose_they_should_be(place: Place) -> None:
    for path in (place.folder, place.environ["RL_RUNROOT"]):
        os.chown(path, STRANGER, STRANGER)

    def unpacked() -> list[str]:
        image = import_tar(place.locations, io.BytesIO(ARCHIVE), "app")
        return layer_folders(place.locations, image)

    (tree,) = as_stranger(place, unpacked)
    assert {os.lstat(f"{tree}/{path}").st_uid for path in ("", "etc", "etc/file", "link", "gone")} == {STRANGER}
    assert os.getxattr(f"{tree}/etc", OVERRIDE_STAT) == b"3:4:0550:dir"
    assert os.getxattr(f"{tree}/etc/file", OVERRIDE_STAT) == b"33:0:4700:file"
    assert not os.stat(f"{tree}/etc/file").st_mode & stat.S_ISUID
    assert stat.S_ISCHR(os.lstat(f"{tree}/gone/x").st_mode)
    record = json.loads(Path(tree).with_name("layer.json").read_bytes())
    assert record["form"] == "flat"
    side = json.loads(Path(tree).with_name("override_stat.json").read_bytes())
    assert side == [["link", 5, 0, 0o644]]
    removed = as_stranger(place, lambda: remove(place.locations, "app", lambda _image: []))
    assert removed.untagged == ("app:latest",)
    assert os.listdir(place.locations.layers) == []
