"""Archives of images, made in memory: docker-archives of several ages, and OCI layouts, to load and to damage."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rootless.images import media_types
from tests.support import tars
from tests.support.registries import BuiltImage, digest_of

Files = dict[str, bytes]


def docker_files(image: BuiltImage, layers: Sequence[bytes], names: Iterable[str] = ("app:1",)) -> Files:
    """Return the files of a docker-archive: the layers as they are given."""
    config = image.blobs[image.config_digest]
    config_name = f"{hex_of(image.config_digest)}.json"
    members = {f"{hex_of(digest_of(layer))}.tar": layer for layer in layers}
    entry = {"Config": config_name, "RepoTags": list(names), "Layers": [f"{hex_of(digest_of(layer))}.tar" for layer in layers]}
    return {**members, config_name: config, "manifest.json": json.dumps([entry]).encode()}


def oci_files(image: BuiltImage, name: str | None = "example.com/app:1", **fields: Any) -> Files:
    """Return the files of an OCI layout; `fields` replace those of the manifest's descriptor."""
    annotations = {"org.opencontainers.image.ref.name": name} if name else {}
    descriptor = {
        "mediaType": media_types.OCI_MANIFEST,
        "digest": image.digest,
        "size": len(image.manifest),
        "annotations": annotations,
        **fields,
    }
    blobs = {f"blobs/sha256/{hex_of(digest)}": content for digest, content in image.blobs.items()}
    return {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [descriptor]}).encode(),
        **blobs,
        f"blobs/sha256/{hex_of(image.digest)}": image.manifest,
    }


def tar_of(files: Files, *more: tars.Entry) -> bytes:
    return tars.make([*more, *(tars.file(name, content) for name, content in files.items())])


def hex_of(digest: str) -> str:
    return digest.partition(":")[2]

