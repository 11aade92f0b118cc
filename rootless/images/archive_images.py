"""Which images an archive has, by what it says of itself.

    manifest.json, a list     a docker-archive: [{"Config", "RepoTags", "Layers"}], configs and layers are members, bottom first
                              (moby image/spec); newer ones (Docker 25) are an OCI layout, too, and are read as the former,
                              which has the whole names
    index.json                an OCI layout (image-spec image-layout.md), its manifests named by an annotation
    manifest.json, an object  a folder of skopeo's `dir:`, the blobs beside it under the hexadecimal part of their digests

Nothing is taken on trust: who reads an image gets what must be checked with it.
"""

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from rootless.errors import CorruptImage, InvalidInput
from rootless.images import json_document, media_types, platform, reference
from rootless.images.archive_members import Members
from rootless.images.blobs import check_digest
from rootless.images.layout import REF_NAME, annotation
from rootless.images.manifest import Blob, blob_of, parse_manifest

DOCKER: Final = "manifest.json"
INDEX: Final = "index.json"
CONTAINERD_NAME: Final = "io.containerd.image.name"
_ATTESTATION: Final = "vnd.docker.reference.type"
_MAX_IMAGES: Final = 10_000
_MAX_NESTED: Final = 4  # indexes in indexes
_HEX_NAME: Final = re.compile(r"(?:.*/)?([0-9a-f]{64})(?:\.json)?", re.ASCII)


class Layer(NamedTuple):
    """A layer's member, and what it must be where the archive says it."""

    member: str
    blob: Blob | None


class Content(NamedTuple):
    """An image as the archive has it: its config, its layers, bottom first, and its manifest with its type, where there is one."""

    config: bytes
    layers: tuple[Layer, ...]
    manifest: tuple[bytes, str] | None


class ArchivedImage(NamedTuple):
    """An image that an archive lists: `names` as they stand there (`is_named_by_tag`: in an OCI layout); `read` gives the rest."""

    names: tuple[str, ...]
    is_named_by_tag: bool
    read: Callable[[], Content]


def archived_images(members: Members, wanted: platform.Platform | None = None) -> list[ArchivedImage]:
    """Return the images of an archive, in its order; of an index in it the image for a platform (by default this machine's).

    Raises `CorruptImage`, `NoSuchObject` (not for that platform).
    """
    if members.has(DOCKER):
        document = parse_json(members.document(DOCKER), DOCKER)
        if isinstance(document, list):
            _check_number(document)
            return [_docker_image(members, entry, number) for number, entry in enumerate(document, 1)]
        return [_folder_image(members, wanted)]
    if members.has(INDEX):
        return _oci_images(members, wanted or platform.of_machine())
    if members.has("repositories"):
        raise CorruptImage(
            "it has no manifest.json, only `repositories`: it was written before Docker 1.10",
            "save the image again with a newer Docker",
        )
    raise CorruptImage(
        "it has neither manifest.json nor index.json: it is no archive of images",
        "for the tar of a root file system there is `rl import`",
    )


def transport_of(members: Members, *, is_folder: bool) -> str:
    """Return the transport by which policy.json names an archive of this form."""
    if members.has(DOCKER):
        return "docker-archive" if isinstance(parse_json(members.document(DOCKER), DOCKER), list) else "dir"
    return "oci" if is_folder else "oci-archive"


def parse_json(content: bytes, name: str) -> Any:
    """Return what a JSON member means. Raises `CorruptImage` naming it."""
    return json_document.load(content, repr(name))


def _docker_image(members: Members, entry: Any, number: int) -> ArchivedImage:
    if not isinstance(entry, dict):
        raise CorruptImage(f"image {number} of {DOCKER} is no JSON object")
    config, names, layers = entry.get("Config"), entry.get("RepoTags") or [], entry.get("Layers") or []
    if not isinstance(config, str) or not _are_texts(names) or not _are_texts(layers):
        raise CorruptImage(f"image {number} of {DOCKER} has no Config, or its RepoTags or Layers are no lists of names")

    def read() -> Content:
        content = members.document(config)
        named = _HEX_NAME.fullmatch(config)
        if named:
            _check(content, f"sha256:{named[1]}", config)
        return Content(content, tuple(Layer(layer, None) for layer in layers), None)

    return ArchivedImage(tuple(names), False, read)


def _folder_image(members: Members, wanted: platform.Platform | None) -> ArchivedImage:
    content = members.document(DOCKER)

    def read() -> Content:
        return _content(members, content, "", wanted or platform.of_machine(), _name_in_folder)

    return ArchivedImage((), False, read)


def _oci_images(members: Members, wanted: platform.Platform) -> list[ArchivedImage]:
    index = parse_json(members.document(INDEX), INDEX)
    descriptors = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(descriptors, list):
        raise CorruptImage(f"{INDEX!r} has no list of manifests")
    _check_number(descriptors)
    images = []
    for number, descriptor in enumerate(descriptors, 1):
        blob = blob_of(descriptor, f"manifest {number} of {INDEX}")
        if annotation(descriptor, _ATTESTATION):  # BuildKit's, of another manifest; no image
            continue
        names = [name for key in (CONTAINERD_NAME, REF_NAME) if (name := annotation(descriptor, key))]
        images.append(ArchivedImage(tuple(names[:1]), True, _reader(members, blob, wanted)))
    return images


def _reader(members: Members, blob: Blob, wanted: platform.Platform) -> Callable[[], Content]:
    def read() -> Content:
        return _content(members, _document(members, blob, _name_in_layout), blob.media_type, wanted, _name_in_layout)

    return read


def _content(
    members: Members, content: bytes, media_type: str, wanted: platform.Platform, name_of_blob: Callable[[str], str]
) -> Content:
    """Read what a manifest, or an index above it, names."""
    for _ in range(_MAX_NESTED):
        document = parse_json(content, "the manifest")
        if not isinstance(document, dict):
            raise CorruptImage("the manifest is no JSON object")
        media_type = _type_of(document, media_type)
        if media_type not in media_types.INDEXES:
            manifest = parse_manifest(document)
            config = _document(members, manifest.config, name_of_blob)
            layers = tuple(Layer(name_of_blob(layer.digest), layer) for layer in manifest.layers)
            return Content(config, layers, (content, media_type))
        blob = platform.choose(document, wanted)
        content, media_type = _document(members, blob, name_of_blob), blob.media_type
    raise CorruptImage(f"it has more than {_MAX_NESTED} indexes in each other")


def _type_of(document: dict[str, Any], noted: str) -> str:
    """Return a manifest's type: what it says itself (OCI's need not), or what the descriptor says, or what its content shows."""
    own = document.get("mediaType")
    if isinstance(own, str) and own:
        return own
    return noted or (media_types.OCI_INDEX if "manifests" in document else media_types.OCI_MANIFEST)


def _document(members: Members, blob: Blob, name_of_blob: Callable[[str], str]) -> bytes:
    name = name_of_blob(blob.digest)
    content = members.document(name)
    if len(content) != blob.size:
        raise CorruptImage(f"{name!r} has {len(content)} bytes, not {blob.size}")
    _check(content, blob.digest, name)
    return content


def _check(content: bytes, digest: str, name: str) -> None:
    try:
        check_digest(content, digest)
    except CorruptImage as error:
        raise CorruptImage(f"{name!r}: {error.message}", "the archive is damaged: make it again") from error


def _name_in_layout(digest: str) -> str:
    algorithm, _, encoded = digest.partition(":")
    return f"blobs/{algorithm}/{encoded}"


def _name_in_folder(digest: str) -> str:
    return digest.partition(":")[2]


def _check_number(images: list[Any]) -> None:
    if len(images) > _MAX_IMAGES:
        raise CorruptImage(f"it lists {len(images)} images: more than {_MAX_IMAGES}")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def whole_name(image: ArchivedImage, name: str, folder: str | None) -> str | None:
    """Return the whole name under which an image of an archive is kept, or None where what stands there is no name.

    In OCI layouts names are free text. One without a registry gets `localhost/`, as podman does it; a bare tag that and the
    archive's own name where `folder` gives that, else it is taken for a name.
    """
    if image.is_named_by_tag and reference.is_short(name):
        is_tag = folder and "/" not in name and ":" not in name
        name = f"localhost/{folder}:{name}" if is_tag else f"localhost/{name}"
    try:
        parsed = reference.parse(name)
    except InvalidInput:
        return None
    return None if parsed.digest else parsed.name


def check_names(images: list[ArchivedImage]) -> None:
    """Raise `CorruptImage` where a docker-archive's name is none: it was made by hand, and what it means cannot be guessed."""
    for image in images:
        for name in image.names:
            if not image.is_named_by_tag and whole_name(image, name, None) is None:
                raise CorruptImage(f"{DOCKER!r} has an invalid name for an image: {name!r:.200}")

