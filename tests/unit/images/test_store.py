"""Finding and naming in a layout that the test wrote; unpacking and removing are integration tests."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from rootless.errors import CorruptImage, InvalidInput, NoSuchObject
from rootless.images import media_types
from rootless.images.blobs import write_blob
from rootless.images.layers import folder_of
from rootless.images.layout import Layout
from rootless.images.manifest import Blob
from rootless.images.reach import reach_of
from rootless.images.store import ImageStore, NewImage, names_of, repo_digests, sources_of
from rootless.locations import Locations


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(Locations(str(tmp_path / "data"), str(tmp_path / "run")))


def digest_of(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def add(store: ImageStore, label: str, name: str | None, source: str | None = None, layer: str = "layer") -> str:
    """Add an image that `label` makes different from others; return its ID."""
    diff_id = digest_of(layer)
    config = json.dumps({"created": "2026-01-01T00:00:00Z", "label": label, "rootfs": {"diff_ids": [diff_id]}}).encode()
    config_digest = write_blob(store.layout, config)
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "config": {"mediaType": media_types.OCI_CONFIG, "digest": config_digest, "size": len(config)},
        "layers": [{"mediaType": media_types.OCI_LAYER, "digest": digest_of("blob"), "size": 5}],
    }
    content = json.dumps(document).encode()
    manifest = write_blob(store.layout, content)
    Path(folder_of(store.locations, diff_id)).mkdir(parents=True, exist_ok=True)
    blob = Blob(manifest, len(content), media_types.OCI_MANIFEST)
    assert store.add(NewImage(config_digest, blob, (manifest, config_digest), (diff_id,), 1234, source), name)
    return config_digest


def found(store: ImageStore, name: str) -> str | None:
    image = store.find(name)
    return None if image is None else image.id


def test_an_empty_store_has_nothing_and_makes_nothing(store: ImageStore) -> None:
    assert store.find("alpine") is None
    assert store.list() == []
    assert not Path(store.locations.data_root).exists()


def test_names_ids_and_prefixes(store: ImageStore) -> None:
    image_id = add(store, "a", "docker.io/library/alpine:latest", digest_of("index"))
    plain = image_id.removeprefix("sha256:")
    names = ["alpine", "alpine:latest", "docker.io/library/alpine", image_id, plain, plain[:3], image_id[:12]]
    assert {found(store, name) for name in names} == {image_id}
    assert found(store, f"alpine@{digest_of('index')}") == image_id
    assert {found(store, name) for name in ("alpine:3", "localhost/alpine", "user/alpine", f"other@{digest_of('index')}")} == {None}
    image = store.get("alpine")
    assert (image.names, image.size) == (("docker.io/library/alpine:latest",), 1234)
    assert image.repo_digests == (f"docker.io/library/alpine@{digest_of('index')}",)


def test_short_names_go_by_docker_then_localhost_then_any_registry(store: ImageStore) -> None:
    elsewhere = add(store, "e", "quay.io/app:latest")
    assert found(store, "app") == elsewhere
    local = add(store, "l", "localhost/app:latest")
    assert found(store, "app") == local
    docker = add(store, "d", "docker.io/library/app:latest")
    assert found(store, "app") == docker
    assert found(store, "quay.io/app") == elsewhere
    add(store, "x", "quay.io/team/tool:latest")
    assert found(store, "tool") is None


def test_a_name_that_is_also_a_prefix_is_a_name(store: ImageStore) -> None:
    ids = [add(store, str(number), f"localhost/i{number}:latest") for number in range(40)]
    by_first = {image_id[7:8]: image_id for image_id in ids}
    name = next(iter(by_first))
    with pytest.raises(InvalidInput, match="beginning of"):
        store.find(name)
    named = add(store, "named", f"docker.io/library/{name}:latest")
    assert found(store, name) == named


def test_a_moved_tag_leaves_its_image_under_the_digest_or_unnamed(store: ImageStore) -> None:
    first = add(store, "1", "docker.io/library/a:latest", digest_of("first"))
    second = add(store, "2", "docker.io/library/a:latest")
    third = add(store, "3", "docker.io/library/a:latest")
    images = {image.id: image for image in store.list()}
    assert set(images) == {first, second, third}
    assert (images[first].names, images[first].repo_digests) == ((), (f"docker.io/library/a@{digest_of('first')}",))
    assert (images[second].names, images[second].repo_digests) == ((), ())
    assert found(store, "a") == third
    assert found(store, f"a@{digest_of('first')}") == first


def test_tag_adds_a_name(store: ImageStore) -> None:
    image_id = add(store, "a", "docker.io/library/a:latest", digest_of("i"))
    store.tag("a", "quay.io/b:2")
    assert store.get("quay.io/b:2").names == ("quay.io/b:2", "docker.io/library/a:latest")
    assert store.get("a").id == image_id
    assert store.get("a").repo_digests == (f"docker.io/library/a@{digest_of('i')}",)
    with pytest.raises(NoSuchObject):
        store.tag("nothing", "x")
    with pytest.raises(InvalidInput):
        store.tag("a", f"x@{digest_of('i')}")


def test_adding_the_same_again_changes_nothing(store: ImageStore) -> None:
    for _ in range(2):
        add(store, "a", "docker.io/library/a:latest")
        add(store, "b", None)
    add(store, "b", "docker.io/library/b:latest")
    assert sorted(len(image.names) for image in store.list()) == [1, 1]
    assert len(store.layout.descriptors()) == 2


def test_an_image_whose_blobs_vanished_is_not_added(store: ImageStore) -> None:
    add(store, "a", "docker.io/library/a:latest")
    blob = Blob(digest_of("none"), 1, media_types.OCI_MANIFEST)
    assert not store.add(NewImage(digest_of("x"), blob, (digest_of("none"),), (), 1, None), "docker.io/library/b:latest")
    assert not store.add(NewImage(digest_of("x"), blob, (), (digest_of("no layer"),), 1, None), "docker.io/library/b:latest")
    assert store.find("b") is None


def test_an_index_that_another_tool_wrote(store: ImageStore) -> None:
    image_id = add(store, "a", "docker.io/library/a:latest")
    (descriptor,) = store.layout.descriptors()
    bare = {key: value for key, value in descriptor.items() if key != "annotations"}
    with store.layout.locked():
        store.layout.replace_descriptors([bare])
    assert found(store, image_id[7:20]) == image_id
    assert store.list()[0].size == 5


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"manifests": 1}'])
def test_a_broken_index_is_named(store: ImageStore, content: str) -> None:
    add(store, "a", "docker.io/library/a:latest")
    (Path(store.locations.images) / "index.json").write_text(content)
    with pytest.raises(CorruptImage, match=r"index\.json"):
        store.find("a")


def test_a_missing_blob_is_named(store: ImageStore) -> None:
    image_id = add(store, "a", "docker.io/library/a:latest")
    Path(Layout(store.locations).blob_path(image_id)).unlink()
    with pytest.raises(CorruptImage, match="missing"):
        store.find("a")


def test_a_new_name_keeps_what_the_registry_gave_when_the_old_one_goes(store: ImageStore) -> None:
    source = write_blob(store.layout, b'{"schemaVersion": 2}')
    add(store, "a", "docker.io/library/a:1", source)
    store.tag("a:1", "b:1")
    store.untag("a:1", ["a:1"])
    entries = store.layout.descriptors()
    assert names_of(entries) == ("docker.io/library/b:1",)
    assert repo_digests(entries) == ()  # no registry gave b a digest
    assert sources_of(entries) == [source]
    assert source in reach_of(store, entries).blobs
    store.untag("b:1")
    store.tag(store.list()[0].id, "c:1")
    assert sources_of(store.layout.descriptors()) == [source]
    assert found(store, "c:1") is not None


def test_what_was_added_is_returned_though_it_is_gone(store: ImageStore) -> None:
    image_id = add(store, "a", None)
    (entry,) = store.layout.descriptors()
    new = NewImage(image_id, Blob(entry["digest"], entry["size"], entry["mediaType"]), (), (), 1234, None)
    store.layout.replace_descriptors([])
    assert store.find(image_id) is None
    assert (store.added(new).id, store.added(new).size) == (image_id, 1234)


@pytest.mark.parametrize("kind", ["sha256", "sha512"])
def test_a_layer_s_folder_is_the_base32_of_its_digest(store: ImageStore, kind: str) -> None:
    digest = hashlib.new(kind, b"layer")
    encoded = base64.b32encode(digest.digest()).decode()[:26].lower()
    assert folder_of(store.locations, f"{kind}:{digest.hexdigest()}") == f"{store.locations.layers}/{encoded}"
