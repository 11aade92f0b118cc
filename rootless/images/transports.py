"""Transports in image names, as skopeo and Podman have them (containers-transports(5)).

    docker://NAME                 a registry: the same as NAME
    oci:DIR[:TAG]                 an OCI layout
    oci-archive:FILE[:TAG]        the tar of one
    docker-archive:FILE[:NAME]    what `save` writes; also :@N, the image with this number, from 0
    dir:DIR                       a folder with one image: manifest.json, and blobs beside it

A path ends at its first colon. Only `parse` is on the path of every `run`: what reads and writes is imported when it is used.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from rootless.errors import InUse, InvalidInput, NoSuchObject

if TYPE_CHECKING:
    from rootless.images.archive_images import ArchivedImage
    from rootless.images.load import Wanted
    from rootless.images.load_archive import Loaded
    from rootless.images.platform import Platform
    from rootless.images.store import Image
    from rootless.images.trust.policy import Policy
    from rootless.locations import Locations

DOCKER: Final = "docker"
_ARCHIVES: Final = ("oci", "oci-archive", "docker-archive", "dir")
_OTHERS: Final = ("containers-storage", "docker-daemon", "docker-tarball", "ostree", "sif", "tarball")
_MAX_LISTED: Final = 10


class Transport(NamedTuple):
    """Where an image is that has no plain name. `kind` is the word before the colon; of `docker` the path is the plain name.

    `reference` is the tag or name in the archive, or None.
    """

    kind: str
    path: str
    reference: str | None

    @property
    def is_registry(self) -> bool:
        """Whether `path` is a plain name, whose image is in a registry."""
        return self.kind == DOCKER

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}" + (f":{self.reference}" if self.reference else "")


def parse(text: str) -> Transport | None:
    """Return the transport that a name has, None for a plain name. Raises `InvalidInput` (no path; one that is not supported)."""
    kind, colon, rest = text.partition(":")
    if not colon:
        return None
    if kind == DOCKER and rest.startswith("//"):
        return Transport(kind, rest[2:], None)
    if kind in _OTHERS and rest:
        raise InvalidInput(f"the transport {kind}: is not supported: {text!r}", f"use docker://, {':, '.join(_ARCHIVES)}:")
    if kind not in _ARCHIVES:
        return None
    path, _, reference = rest.partition(":")
    if not path:
        raise InvalidInput(f"no path after {kind}: in {text!r}", f"give {kind}:PATH[:NAME]")
    if kind == "dir":
        return Transport(kind, rest, None)
    return Transport(kind, path, reference or None)


def plain_name(text: str) -> str:
    """Return a name without `docker://`."""
    return text.removeprefix(f"{DOCKER}://")


def read_into_store(
    locations: "Locations",
    transport: Transport,
    *,
    platform: "Platform | None" = None,
    note: Callable[[str], None] = lambda _text: None,
    warn: Callable[[str], None] = lambda _text: None,
    policy: "Policy",
) -> "Loaded":
    """Bring the image that a transport (not a registry's) names into the store, and return it with its names there.

    It gets the names that the archive has for it; a bare tag, or none, becomes `localhost/BASENAME:TAG`, by the last component
    of the path. The caller is single-threaded. Raises `NoSuchObject`, `InvalidInput` (several images), and as `load_archive`.
    """
    from rootless.images.load_archive import load_archive

    def choose(images: "list[ArchivedImage]") -> "list[Wanted]":
        return [_choose(transport, images)]

    (loaded,) = load_archive(locations, transport.path, choose, platform=platform, note=note, warn=warn, policy=policy)
    return loaded


def write_from_store(
    locations: "Locations", image: "Image", transport: Transport, *, note: Callable[[str], None] = lambda _text: None
) -> str:
    """Write an image to where a transport (not a registry's) says, and return its manifest's digest.

    A layout is added to, an oci-archive or folder replaced; a docker-archive that exists is not touched. Raises `InUse` for that,
    `InvalidInput`, `CorruptImage` (the store is damaged), `OSError`.
    """
    from rootless.images import reference as references
    from rootless.images.layout import Layout
    from rootless.images.output_file import replaced
    from rootless.images.save import Saved, save_docker, save_oci
    from rootless.images.save_folder import save_dir, save_layout

    layout, saved, path = Layout(locations), Saved(image, ()), transport.path
    if transport.kind == "oci":
        save_layout(layout, [saved], path, note, transport.reference)
    elif transport.kind == "oci-archive":
        with replaced(path) as output:
            save_oci(layout, [saved], output, note, transport.reference)
    elif transport.kind == "docker-archive":
        if os.path.isfile(path):
            raise InUse(f"{path} exists already", "give a new file: a docker-archive cannot be added to")
        names = (references.parse(transport.reference).name,) if transport.reference else image.names
        with replaced(path) as output:
            save_docker(layout, [Saved(image, names)], output, note)
    else:
        save_dir(layout, saved, path, note, docker=False, compress=False)
    return image.manifest_digest


def _choose(transport: Transport, images: "list[ArchivedImage]") -> "Wanted":
    from rootless.images.archive_images import whole_name
    from rootless.images.load import Wanted

    candidates = [image for image in images if transport.reference is None or _is_meant(transport, image, images)]
    listed = ", ".join(name for image in images[:_MAX_LISTED] for name in image.names or ["<none>"]) or "none"
    if not candidates:
        raise NoSuchObject(f"no image {transport.reference!r} in {transport.path}", f"it has: {listed}")
    if len(candidates) > 1:
        raise InvalidInput(
            f"several images in {transport.path}", f"choose one: {transport.kind}:{transport.path}:NAME; it has: {listed}"
        )
    (image,) = candidates
    folder = os.path.basename(os.path.abspath(transport.path)).removesuffix(".tar")
    names = [whole_name(image, name, folder) for name in image.names]
    if not image.names and transport.kind != "docker-archive":
        names = [whole_name(image, f"localhost/{folder}:latest", folder)]
    return Wanted(image, tuple(dict.fromkeys(name for name in names if name)))


def _is_meant(transport: Transport, image: "ArchivedImage", images: "list[ArchivedImage]") -> bool:
    from rootless.images import reference as references

    wanted = transport.reference or ""
    if wanted.startswith("@"):
        return wanted[1:].isdecimal() and image is dict(enumerate(images)).get(int(wanted[1:]))
    if wanted in image.names or transport.kind != "docker-archive":
        return wanted in image.names
    whole = references.parse(wanted).name
    return any(references.parse(name).name == whole for name in image.names)
