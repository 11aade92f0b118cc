"""Removing names and images, and what containers use."""

import io
import os
import subprocess
import sys
from typing import Any

import pytest

from rootless.errors import InUse, NoSuchObject
from rootless.images.import_tar import import_tar
from rootless.images.remove import Removed, remove, remove_all
from rootless.images.store import Image, ImageStore
from tests.integration.images.conftest import Place
from tests.support.tars import file, make

pytestmark = pytest.mark.engine


def add(place: Place, name: str | None, content: str = "x", message: str = "") -> Image:
    archive = make([file("f", content.encode(), uid=7)])
    image: Image = place.run(
        lambda: import_tar(place.locations, io.BytesIO(archive), name, message=message, created="2026-01-01T00:00:00Z")
    )
    return image


def removed(place: Place, name: str, users: tuple[str, ...] = (), **options: Any) -> Removed:
    result: Removed = place.run(lambda: remove(place.locations, name, lambda _id: list(users), **options))
    return result


def left(place: Place) -> tuple[int, int, int]:
    """Return how many blobs, layers and trashed trees there are."""
    trash = os.listdir(place.locations.trash) if os.path.exists(place.locations.trash) else []
    return len(os.listdir(f"{place.locations.images}/blobs/sha256")), len(os.listdir(place.locations.layers)), len(trash)


def test_the_last_name_takes_the_image_along(place: Place) -> None:
    image = add(place, "a")
    place.run(ImageStore(place.locations).tag, "a", "b:2")
    assert removed(place, "a") == Removed(("a:latest",), ())
    assert left(place) == (3, 1, 0)
    assert removed(place, "b:2") == Removed(("b:2",), (image.id, *image.layer_keys))
    assert left(place) == (0, 0, 0)
    with pytest.raises(NoSuchObject, match="No such image: b:2"):
        removed(place, "b:2")


def test_shared_layers_and_blobs_stay(place: Place) -> None:
    first, second = add(place, "a"), add(place, "b", message="other")
    assert first.layer_keys == second.layer_keys
    assert removed(place, "a").deleted == (first.id,)
    assert left(place) == (3, 1, 0)
    assert removed(place, "b").deleted == (second.id, *second.layer_keys)
    assert left(place) == (0, 0, 0)


def test_by_id_all_names_go_but_not_of_several_repositories(place: Place) -> None:
    image = add(place, "a:1")
    place.run(ImageStore(place.locations).tag, "a:1", "a:2")
    short = image.id[7:19]
    assert sorted(removed(place, short).untagged) == ["a:1", "a:2"]
    add(place, "a:1")
    place.run(ImageStore(place.locations).tag, "a:1", "b:1")
    with pytest.raises(InUse, match=r"must be forced\): image is referenced in multiple repositories"):
        removed(place, short)
    assert left(place) == (3, 1, 0)
    assert len(removed(place, short, force=True).untagged) == 2
    assert left(place) == (0, 0, 0)


def test_images_in_use_keep_their_data(place: Place) -> None:
    image = add(place, "a")
    container = "c" * 64
    with pytest.raises(InUse, match="container cccccccccccc uses image") as failure:
        removed(place, "a", (container,))
    assert "rl rm cccccccccccc" in str(failure.value.hint)
    assert removed(place, "a", (container,), force=True) == Removed(("a:latest",), ())
    assert left(place) == (3, 1, 0)
    assert place.run(ImageStore(place.locations).get, image.id).names == ()
    place.run(ImageStore(place.locations).tag, image.id, "back")
    assert removed(place, "back").deleted[0] == image.id


def test_a_name_of_several_may_go_while_in_use(place: Place) -> None:
    add(place, "a")
    place.run(ImageStore(place.locations).tag, "a", "b")
    assert removed(place, "a", ("c" * 64,)) == Removed(("a:latest",), ())


def test_an_image_with_missing_blobs_can_be_removed(place: Place) -> None:
    image = add(place, "a")
    os.unlink(ImageStore(place.locations).layout.blob_path(image.id))
    assert removed(place, "a").untagged == ("a:latest",)


def test_what_a_killed_removal_left_in_the_trash_goes_with_the_next(place: Place) -> None:
    add(place, "a")
    add(place, "b", "y")
    place.run(os.makedirs, f"{place.locations.trash}/layer-old/d/x")
    removed(place, "a")
    assert left(place) == (3, 1, 0)


def test_the_verb_tells_each_failure(place: Place) -> None:
    add(place, "a")
    done = place.rl("rmi", "none", "a", "none2")
    assert done.returncode == 1
    assert done.stdout.startswith(b"Untagged: a:latest\nDeleted: sha256:")
    assert done.stderr.count(b"rl: No such image: none") == 2
    assert place.rl("rmi", "-f", "none").returncode == 0


def test_many_go_in_one_change_and_layers_with_the_last_that_has_them(place: Place) -> None:
    first, second, third = add(place, "a"), add(place, "b", message="other"), add(place, "c", "y")
    used = {third.id: ["c" * 64]}
    names = ["a", "none", "b", "c", "a"]
    gone = place.run(remove_all, place.locations, names, lambda image_id: used.get(image_id, []))
    assert gone[0] == Removed(("a:latest",), (first.id,))
    assert gone[2] == Removed(("b:latest",), (second.id, *second.layer_keys))
    assert [type(one) for one in gone] == [Removed, NoSuchObject, Removed, InUse, NoSuchObject]
    assert left(place) == (3, 1, 0)
    done = place.rl("rmi", "-a")
    assert (done.returncode, done.stdout.count(b"Deleted: ")) == (0, 2)
    assert left(place) == (0, 0, 0)


def test_a_mounted_image_is_in_use(place: Place) -> None:
    image = add(place, "a")
    script = f"""
        rl() {{ "$PYTHON" -m cli "$@"; }}
        path=$(rl image mount a)
        rl rmi a; echo status $?
        rl image prune -af; rl rmi -f a; rl system prune -af; cat $path/f; echo
        rl image unmount {image.id}; rl rmi {image.id}
    """
    place.environ["PYTHON"] = sys.executable
    done = place.rl("unshare", "sh", "-c", script)
    assert b"is mounted in `rl unshare`" in done.stderr
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "status 1"
    assert "x" in lines
    assert f"Deleted: {image.id}" in lines
    assert left(place) == (0, 0, 0)


def test_a_mount_that_has_ended_keeps_nothing(place: Place) -> None:
    add(place, "a")
    place.environ["PYTHON"] = sys.executable
    assert place.rl("unshare", "sh", "-c", '"$PYTHON" -m cli image mount a').returncode == 0
    assert place.rl("rmi", "a").returncode == 0
    assert left(place) == (0, 0, 0)


def test_on_a_full_disk_images_can_be_removed(place: Place) -> None:
    """A tmpfs without a free page, in a mount namespace of its own: unpacked layers make room for the new index."""
    archive = place.folder / "t.tar"
    archive.write_bytes(make([file("f", os.urandom(100_000))]))
    small, fill = f"{place.folder}/small", 'cat /dev/zero > "$RL_ROOT/../fill" 2>/dev/null'
    script = f"""
        mkdir {small} && mount -t tmpfs -o size=2m none {small} || exit 9
        export RL_ROOT={small}/data RL_RUNROOT=/tmp/rl-$$
        rl() {{ {sys.executable} -m cli "$@"; }}
        rl import {archive} a && {fill}; rl tag a b; rl rmi a; rm {small}/fill
        rl import {archive} a && {fill}; rl system prune -af; rl system check; rl images -q
        rm -rf /tmp/rl-$$
    """
    command = ["unshare", "-Urm", "sh", "-c", script]
    done = place.run(lambda: subprocess.run(command, capture_output=True, cwd="/", text=True, check=False, timeout=60))
    assert done.stderr.count("No space left") == 1, done  # the tag
    assert "Untagged: a:latest\nDeleted: " in done.stdout
    assert "untagged: a:latest\ndeleted: " in done.stdout
    assert "0 images, 0 blobs (0B), 0 layers (0 files), 0 containers: no problems" in done.stdout
