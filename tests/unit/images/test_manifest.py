import hashlib
from typing import Any

import pytest

from rootless.errors import CorruptImage
from rootless.images import media_types
from rootless.images.manifest import chain_ids, diff_ids_of, parse_manifest

A, B = ("sha256:" + letter * 64 for letter in "ab")


def manifest(**changes: Any) -> dict[str, Any]:
    config = {"mediaType": media_types.OCI_CONFIG, "digest": A, "size": 1}
    layer = {"mediaType": media_types.OCI_LAYER, "digest": B, "size": 2}
    return {"schemaVersion": 2, "config": config, "layers": [layer], **changes}


def test_a_manifest_is_read() -> None:
    parsed = parse_manifest(manifest())
    assert (parsed.config.digest, parsed.layers[0].digest, parsed.layers[0].size) == (A, B, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schemaVersion": 1}, "schema version 1"),
        ({"config": None}, "config is not a descriptor"),
        ({"config": {"mediaType": "application/x", "digest": A, "size": 1}}, "artifact"),
        ({"layers": None}, "no list of layers"),
        ({"layers": [{"mediaType": media_types.OCI_LAYER, "digest": "sha256:../../x", "size": 1}]}, "no valid digest"),
        ({"layers": [{"mediaType": media_types.OCI_LAYER, "digest": B, "size": -1}]}, "no valid size"),
        ({"layers": [{"mediaType": media_types.OCI_LAYER, "digest": B, "size": True}]}, "no valid size"),
        ({"layers": [{"mediaType": "text/plain", "digest": B, "size": 1}]}, "not an image layer"),
        ({"layers": [manifest()["layers"][0]] * 2000}, "too many"),
    ],
)
def test_malformed_manifests_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CorruptImage, match=message):
        parse_manifest(manifest(**changes))


@pytest.mark.parametrize("config", [{}, {"rootfs": []}, {"rootfs": {"diff_ids": "x"}}, {"rootfs": {"diff_ids": ["x"]}}])
def test_malformed_configs_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(CorruptImage, match="diff_ids"):
        diff_ids_of(config, 1)


def test_the_number_of_layers_must_agree() -> None:
    with pytest.raises(CorruptImage, match="names 1 layers, but the manifest has 2"):
        diff_ids_of({"rootfs": {"diff_ids": [A]}}, 2)


def test_chain_ids_are_the_specification_s() -> None:
    second = "sha256:" + hashlib.sha256(f"{A} {B}".encode()).hexdigest()
    assert chain_ids((A, B, A)) == (A, second, "sha256:" + hashlib.sha256(f"{second} {A}".encode()).hexdigest())
