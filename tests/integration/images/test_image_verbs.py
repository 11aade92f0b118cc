"""The local verbs on images, by the whole `rl`: names, lists, history, trees, differences, what is removed and what it frees."""

import io
import json
import os
import sys
import tarfile
from typing import Any

import pytest

from rootless.images import Images
from rootless.images.import_tar import import_tar
from rootless.images.store import Image
from tests.integration.images.conftest import Place
from tests.support.registries import Registry
from tests.support.tars import file, folder, make, symlink

pytestmark = pytest.mark.engine

BASE = make([folder("d"), file("d/old", b"o"), file("d/same", b"s"), file("gone/x", b"g"), file("passwd", b"1")])
TOP = make([file("d/new", b"n"), file("d/old", b"changed"), file(".wh.gone"), symlink("link", "d/new"), folder("opaque")])
OTHER = make([file("other", b"123")])


def add(place: Place, name: str | None, *, content: bytes = b"x", created: str = "2026-01-01T00:00:00Z", **options: Any) -> Image:
    archive = make([file("f", content, uid=7)])
    image: Image = place.run(lambda: import_tar(place.locations, io.BytesIO(archive), name, created=created, **options))
    return image


def rl(place: Place, *arguments: str, status: int = 0, data: bytes = b"") -> str:
    done = place.rl(*arguments, data=data)
    assert done.returncode == status, (arguments, done.stdout, done.stderr)
    assert b"Traceback" not in done.stderr
    return done.stdout.decode()


def pull(place: Place, registry: Registry, name: str, *layers: bytes) -> str:
    registry.push(f"{name}:1", layers, history=[{"created_by": f"step {number}"} for number in range(len(layers))])
    whole = f"{registry.host}/{name}:1"
    rl(place, "pull", "-q", whole)
    return whole


def test_names_come_and_go(place: Place) -> None:
    image = add(place, "one")
    rl(place, "tag", "one", "two:2", "reg.example.org/three")
    names = rl(place, "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert names == ["reg.example.org/three:latest", "two:2", "one:latest"]
    rl(place, "untag", "one", "two:2", "one")
    assert rl(place, "images", "--format", "{{.Repository}}").split() == ["reg.example.org/three"]
    assert b"is no name of the image" in place.rl("untag", "reg.example.org/three", "two:2").stderr
    rl(place, "untag", "reg.example.org/three")
    assert rl(place, "images", "-q", "--no-trunc", "-f", "dangling=true") == f"{image.id}\n"
    rl(place, "tag", image.id[7:20], "again")
    rl(place, "tag", "nobody", "x", status=1)
    rl(place, "tag", "again", "UPPER", status=1)
    rl(place, "image", "exists", "again")
    rl(place, "image", "exists", "one", status=1)
    assert rl(place, "image", "inspect", "-f", "{{.Id}}", "again", "nobody", status=1) == f"{image.id}\n"


def test_images_are_filtered_and_formatted(place: Place) -> None:
    add(place, "old:1", content=b"1", created="2026-01-01T00:00:00Z", changes=["LABEL a=1 b=2"])
    add(place, "group/new:2", content=b"22", created="2026-02-01T00:00:00Z", changes=["LABEL a=2"])
    add(place, None, content=b"333", created="2026-03-01T00:00:00Z")

    def listed(*arguments: str) -> list[str]:
        return rl(place, "images", "--format", "{{.Repository}}:{{.Tag}}", *arguments).split()

    assert listed() == ["<none>:<none>", "group/new:2", "old:1"]
    assert listed("-f", "label=a") == ["group/new:2", "old:1"]
    assert listed("-f", "label=a=1", "-f", "label=b") == ["old:1"]
    assert listed("-f", "since=old:1", "-f", "dangling=false") == ["group/new:2"]
    assert listed("-f", "before=group/new:2") == ["old:1"]
    assert listed("-f", "until=2026-01-15T00:00:00Z") == ["old:1"]
    assert listed("-f", "reference=*:1", "-f", "reference=gr*/n?w") == ["group/new:2", "old:1"]
    assert listed("-f", "reference=*") == ["<none>:<none>", "old:1"]
    assert listed("o[a-l]d") == listed("old") == listed("docker.io/library/old:1") == ["old:1"]
    assert [json.loads(line)["Size"] for line in rl(place, "images", "--format", "json").splitlines()] == ["3B", "2B", "1B"]
    assert rl(place, "images", "--format", "table {{.Tag}}\\t{{.Size}}", "old").splitlines() == ["TAG       SIZE", "1         1B"]
    assert "DIGEST" in rl(place, "images", "--digests")
    for wrong in ("dangling=perhaps", "nonsense=1", "label", "until=yesterday", "reference=[z-a]"):
        rl(place, "images", "-f", wrong, status=1)
    rl(place, "images", "-f", "since=nobody", status=1)


def test_history_and_tree(place: Place, registry: Registry) -> None:
    base, top = pull(place, registry, "tree/base", BASE), pull(place, registry, "tree/top", BASE, TOP)
    rows = [json.loads(line) for line in rl(place, "history", "--format", "json", "--no-trunc", top).splitlines()]
    assert [(row["CreatedBy"], row["Size"]) for row in rows] == [("step 1", "8B"), ("step 0", "4B")]
    assert [row["ID"][:7] for row in rows] == ["sha256:", "<missin"]
    assert rl(place, "history", "-H=false", top).splitlines()[1].split()[-1] == "8"
    rl(place, "history", "nobody", status=1)
    lines = rl(place, "image", "tree", top).splitlines()
    assert lines[1:4] == [f"Tags:     [{top}]", "Size:     12B", "Image Layers"]
    assert lines[4].startswith("├── ID: ")
    assert lines[4].endswith(f"Size:      4B Top Layer of: [{base}]")
    assert lines[5].startswith("└── ID: ")
    assert len(rl(place, "image", "tree", "--whatrequires", base).splitlines()) == 6
    assert len(rl(place, "image", "tree", base).splitlines()) == 5


def test_diff_with_the_parent_and_with_another_image(place: Place, registry: Registry) -> None:
    base, top = pull(place, registry, "diff/base", BASE), pull(place, registry, "diff/top", BASE, TOP)
    lines = ["C /d", "A /d/new", "C /d/old", "D /gone", "A /link", "A /opaque"]
    assert rl(place, "image", "diff", top).splitlines() == lines
    assert rl(place, "image", "diff", top, base).splitlines() == lines
    back = rl(place, "image", "diff", base, top).splitlines()
    assert back == ["C /d", "D /d/new", "C /d/old", "A /gone", "A /gone/x", "D /link", "D /opaque"]
    assert rl(place, "image", "diff", top, top) == ""
    found = json.loads(rl(place, "image", "diff", "--format", "json", top))
    assert found == {"changed": ["/d", "/d/old"], "added": ["/d/new", "/link", "/opaque"], "deleted": ["/gone"]}


def test_rmi_of_all_and_of_unknown_ones(place: Place) -> None:
    add(place, "one")
    add(place, "two", content=b"2")
    rl(place, "rmi", status=1)
    rl(place, "rmi", "-a", "one", status=1)
    rl(place, "rmi", "-i", "nobody")
    rl(place, "rmi", "nobody", status=1)
    rl(place, "tag", "one", "other")
    assert rl(place, "rmi", "--no-prune", "-a").count("Untagged: ") == 3
    assert rl(place, "images", "-q") == ""
    assert os.listdir(f"{place.locations.images}/blobs/sha256") == []


def test_prune_asks_and_frees(place: Place) -> None:
    kept, loose = add(place, "kept"), add(place, None, content=b"yy", changes=["LABEL x=1"])
    assert "Are you sure you want to continue? [y/N]" in rl(place, "image", "prune", status=1, data=b"n\n")
    rl(place, "image", "prune", status=1)
    rl(place, "image", "prune", "-f", "--filter", "label!=x")
    assert loose.id in rl(place, "images", "-q", "--no-trunc")
    said = rl(place, "image", "prune", data=b"y\n")
    assert f"Deleted Images:\ndeleted: {loose.id}\n" in said
    assert "\n\nTotal reclaimed space: " in said
    assert rl(place, "images", "-q", "--no-trunc") == f"{kept.id}\n"
    assert rl(place, "image", "prune", "-f") == "Total reclaimed space: 0B\n"
    assert "untagged: kept:latest" in rl(place, "image", "prune", "-af")
    assert os.listdir(f"{place.locations.images}/blobs/sha256") == os.listdir(place.locations.layers) == []


def test_system_prune_removes_what_nothing_reaches(place: Place) -> None:
    add(place, "kept")
    old, young = f"{place.locations.images}/blobs/sha256/{'0' * 64}", f"{place.locations.images}/partial/sha256-{'1' * 64}"

    def leave() -> None:
        for path in (old, young, young[:-1] + "2"):
            with open(path, "wb") as blob:
                blob.write(bytes(1000))
        os.utime(young[:-1] + "2", (0, 0))
        os.makedirs(f"{place.locations.trash}/layer-left/d")

    place.run(leave)
    assert rl(place, "system", "prune", "-f") == "Total reclaimed space: 1kB\n"
    assert os.path.exists(old)  # it may be on its way into the index, by another tool
    assert os.path.exists(young)
    assert not os.path.exists(young[:-1] + "2")
    assert os.listdir(place.locations.trash) == []
    assert rl(place, "images", "-q").strip()


def test_system_df(place: Place) -> None:
    first = add(place, "one", content=b"x" * 10_000)
    add(place, "two", content=b"x" * 10_000, message="shares the layer")
    rows = {row["Type"]: row for row in map(json.loads, rl(place, "system", "df", "--format", "json").splitlines())}
    assert list(rows) == ["Images", "Containers", "Local Volumes", "Build Cache"]
    assert rows["Images"]["TotalCount"] == "2"
    assert rows["Images"]["Reclaimable"].endswith("(100%)")
    blobs = sum(entry.stat().st_size for entry in os.scandir(f"{place.locations.images}/blobs/sha256"))
    assert abs(float(rows["Images"]["Size"].removesuffix("kB")) * 1000 - blobs - first.size) < 10
    verbose = json.loads(rl(place, "system", "df", "-v", "--format", "json"))
    assert {(row["SharedSize"], row["UniqueSize"], row["Containers"]) for row in verbose["Images"]} == {("10kB", "0B", "0")}
    assert "Images space usage:\n\nREPOSITORY" in rl(place, "system", "df", "-v")


def test_unshare_passes_the_status_on(place: Place) -> None:
    assert rl(place, "unshare", "id", "-u") == "0\n"
    rl(place, "unshare", "sh", "-c", "exit 7", status=7)
    rl(place, "unshare", "sh", "-c", "kill -KILL $$", status=137)
    rl(place, "unshare", "no-such-command", status=127)
    rl(place, "unshare", "/etc", status=126)
    place.environ["SHELL"] = "/bin/sh"
    assert rl(place, "unshare", data=b"echo from $0; exit 3", status=3) == "from /bin/sh\n"


def test_images_are_mounted_inside_unshare_only(place: Place, registry: Registry) -> None:
    top = pull(place, registry, "mount/top", BASE, TOP)
    add(place, "single")
    done = place.rl("image", "mount", top)
    assert done.returncode == 1
    assert b"rl unshare" in done.stderr
    script = f"""
        set -e
        rl() {{ "$PYTHON" -m cli "$@"; }}
        path=$(rl image mount {top}); cat $path/d/new $path/link; test ! -e $path/gone
        if touch $path/x; then exit 9; fi
        cat $(rl image mount single)/f; echo
        rl image mount | wc -l
        rl image unmount {top} >&2; rl image mount
        rl image unmount -a >&2; rl image mount; ls {place.locations.data_root}/mounts
        rl image unmount single || echo no
        rl image mount -a >&2
    """
    place.environ["PYTHON"] = sys.executable
    lines = rl(place, "unshare", "sh", "-c", script).splitlines()
    assert lines[:2] == ["nnx", "2"]
    assert lines[2].startswith("docker.io/library/single:latest /")
    assert lines[3:] == ["no"]
    assert len(os.listdir(f"{place.locations.data_root}/mounts")) == 2  # of the session that has ended
    rl(place, "system", "prune", "-f")
    assert os.listdir(f"{place.locations.data_root}/mounts") == []


def test_the_library(place: Place, registry: Registry) -> None:
    registry.push("library/one:1", [BASE])

    def use() -> list[Any]:
        images = Images(place.locations, place.environ)
        image = images.pull(f"{registry.host}/library/one:1")
        images.tag(image.id, "mine:1")
        with open(f"{place.folder}/data/archive.tar", "wb") as archive:
            images.save(["mine:1"], archive.fileno())
        removed = images.remove(image.id, lambda _id: [], force=True)
        loaded = images.load(f"{place.folder}/data/archive.tar")
        digest = images.push("mine:1", f"{registry.host}/library/two:1")
        changes = [str(change.path) for change in images.diff("mine:1")]
        return [image.id, removed.deleted[0], loaded[0].id, digest[:7], changes[:2], images.find("nobody"), len(images.list())]

    image_id, removed_id, loaded_id, *rest = place.run(use)
    assert image_id == removed_id == loaded_id
    assert rest == ["sha256:", ["/d", "/d/old"], None, 1]


def test_an_archive_member_may_have_any_name_in_a_diff(place: Place) -> None:
    archive = make([file("a\x1bb", b"1"), file("ü", b"2")], tarfile.PAX_FORMAT)
    place.run(lambda: import_tar(place.locations, io.BytesIO(archive), "odd"))
    assert rl(place, "image", "diff", "odd").splitlines() == ["A /a\x1bb", "A /ü"]


def test_verbs_on_an_empty_store(place: Place) -> None:
    for verb in ("rmi x", "tag x y", "untag x", "history x", "image tree x", "manifest rm x", "image diff x"):
        assert b"rl: No such " in place.rl(*verb.split()).stderr
    rl(place, "rmi", "-a")
    assert rl(place, "images").split()[0] == "REPOSITORY"
    for prune in ("image", "system"):
        assert rl(place, prune, "prune", "-f") == "Total reclaimed space: 0B\n"
    assert "Images" in rl(place, "system", "df")
