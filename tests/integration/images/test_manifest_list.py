"""Image lists: made of local and remote images, annotated, pushed, read by skopeo, pulled by platform, collected."""

import io
import json
import os
import subprocess
from typing import Any

import pytest

from rootless.images import media_types
from rootless.images.import_tar import import_tar
from rootless.images.store import Image
from tests.integration.images.conftest import Place
from tests.support.registries import Registry
from tests.support.tars import file, make

pytestmark = pytest.mark.engine


def add(place: Place, name: str, content: bytes) -> Image:
    archive = make([file("f", content)])
    image: Image = place.run(lambda: import_tar(place.locations, io.BytesIO(archive), name, created="2026-01-01T00:00:00Z"))
    return image


def rl(place: Place, *arguments: str, status: int = 0) -> str:
    done = place.rl(*arguments)
    assert done.returncode == status, (arguments, done.stdout, done.stderr)
    assert b"Traceback" not in done.stderr
    return done.stdout.decode()


def inspected(place: Place, name: str) -> Any:
    return json.loads(rl(place, "manifest", "inspect", name))


def test_a_list_is_made_changed_and_removed(place: Place) -> None:
    one, two = add(place, "one", b"1"), add(place, "two", b"2")
    list_id = rl(place, "manifest", "create", "both", "one").strip()
    rl(place, "manifest", "create", "both", status=1)
    rl(place, "manifest", "create", "one", status=1)
    rl(place, "manifest", "add", "--arch", "arm64", "--variant", "v8", "--annotation", "a=b", "both", "two")
    first, second = inspected(place, "both")["manifests"]
    assert (first["digest"], second["digest"]) == (one.manifest_digest, two.manifest_digest)
    assert first["platform"]["architecture"] == "amd64"
    assert second["platform"] == {"architecture": "arm64", "os": "linux", "variant": "v8"}
    assert second["annotations"] == {"a": "b"}
    rl(place, "manifest", "annotate", "--os", "plan9", "--annotation", "c=d", "both", two.manifest_digest)
    assert inspected(place, "both")["manifests"][1]["annotations"] == {"a": "b", "c": "d"}
    rl(place, "manifest", "annotate", "--annotation", "nothing", "both", "two", status=1)
    assert not os.path.exists(f"{place.locations.images}/blobs/sha256/{list_id}")  # the content that it had first
    assert rl(place, "images", "--format", "{{.Repository}}").split()[0] == "both"
    rl(place, "manifest", "remove", "both", "one")
    rl(place, "manifest", "remove", "both", "one", status=1)
    rl(place, "manifest", "add", "one", "two", status=1)  # an image is no list
    rl(place, "manifest", "rm", "one", status=1)
    assert "Untagged: both:latest" in rl(place, "manifest", "rm", "both")
    assert len(os.listdir(f"{place.locations.images}/blobs/sha256")) == 6


def test_images_of_a_list_stay_when_their_own_names_go(place: Place) -> None:
    image = add(place, "one", b"1")
    rl(place, "manifest", "create", "list", "one")
    rl(place, "rmi", "one")
    rl(place, "system", "prune", "-f")
    assert os.path.exists(f"{place.locations.images}/blobs/sha256/{image.manifest_digest[7:]}")
    assert len(os.listdir(place.locations.layers)) == 1
    rl(place, "image", "inspect", "list")
    rl(place, "image", "prune", "-af")
    assert os.listdir(f"{place.locations.images}/blobs/sha256") == os.listdir(place.locations.layers) == []


def test_a_list_of_remote_images_is_pushed_and_pulled(place: Place, registry: Registry) -> None:
    arm = [make([file("arm", b"a")])]
    registry.push("lists/arm:1", arm, architecture="arm64")
    native = add(place, "native", b"n")
    rl(place, "manifest", "create", "multi", "native", f"docker://{registry.host}/lists/arm:1")
    assert inspected(place, f"{registry.host}/lists/arm:1")["config"]["mediaType"] == media_types.OCI_CONFIG
    target = f"{registry.host}/lists/multi:1"
    digest = rl(place, "manifest", "push", "--all", "multi", f"docker://{target}").strip()
    seen = subprocess.run(
        ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{target}"], capture_output=True, check=True, timeout=30
    )
    assert [one["platform"]["architecture"] for one in json.loads(seen.stdout)["manifests"]] == ["amd64", "arm64"]
    rl(place, "manifest", "rm", "multi")
    rl(place, "rmi", "native")
    rl(place, "pull", "-q", target)
    assert rl(place, "image", "inspect", "-f", "{{.Id}} {{.RepoDigests}}", target).split()[0] == native.id
    assert digest in rl(place, "images", "--digests")
    rl(place, "pull", "-q", "--platform", "linux/arm64", target)
    assert rl(place, "image", "inspect", "-f", "{{.Architecture}}", target) == "arm64\n"
    rl(place, "manifest", "create", "copy")
    rl(place, "manifest", "add", "--all", "copy", f"docker://{target}")
    assert len(inspected(place, "copy")["manifests"]) == 2
    rl(place, "manifest", "create", "--amend", "copy", "docker://" + registry.host + "/lists/none:1", status=1)
