"""From the mounts that a user asks for, an image's volumes and `--volumes-from`, to what a container's record has of them.

Precedence is Docker's: what the user mounts at a path; then what another container has there; then the anonymous volumes of
`-v PATH` and of the image. What no OCI mount can say by itself (an overlay, an image, a path within a volume) is made by the stage
at each start, and bound: `staging` has the list, whose theory is in `rootless.containers.staging`.
"""

import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from rootless.containers import documents, mount_request
from rootless.containers.documents import Document
from rootless.containers.mount_request import BIND, DEVPTS, IMAGE, TMPFS, VOLUME, MountRequest, Overlay
from rootless.containers.store import ContainerStore
from rootless.errors import CorruptImage, InvalidInput, NoSuchObject
from rootless.images.store import Image, ImageStore, layer_folders
from rootless.locations import Locations
from rootless.storage import volume_options
from rootless.storage.volumes import DRIVER, Volume, VolumeStore

# Whose owner no container's user should become by a slip of the finger.
_NEVER_GIVEN_AWAY = frozenset(
    f"/{name}" for name in ("", "bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "mnt", "opt", "proc", "root", "run",
                            "sbin", "srv", "sys", "tmp", "usr", "var")
)  # fmt: skip


class Resolved(NamedTuple):
    """What a container's record has of its mounts."""

    oci: list[dict[str, Any]]
    shown: list[dict[str, Any]]  # Docker's Mounts
    anonymous: list[str]  # names of volumes that go with the container
    images: list[dict[str, Any]]  # ID and layer keys of mounted images
    staging: dict[str, list[Any]]


class Resolver:
    """Resolves the mounts of one container; the caller holds the locks of the image store and of the volumes."""

    def __init__(self, locations: Locations, folder: str) -> None:
        self._locations = locations
        self._folder = folder
        self._volumes = VolumeStore(locations)
        self.resolved = Resolved([], [], [], [], {"Points": [], "CopyUp": [], "Owned": []})

    def resolve(self, requests: Sequence[MountRequest], volumes_from: Iterable[str], of_image: Iterable[str]) -> Resolved:
        """Return all mounts; volumes and folders that are missing are made. Raises `InvalidInput`, `NoSuchObject`, `InUse`."""
        lesser = [one for one in requests if is_anonymous_short(one)]
        chosen: dict[str, MountRequest] = {}
        for request in requests:
            if is_anonymous_short(request):
                continue
            if request.target in chosen:
                raise InvalidInput(f"Duplicate mount point: {request.target}", "mount one thing only at each path")
            chosen[request.target] = request
        for request in (*self._from_containers(volumes_from), *lesser, *_volumes_of_image(of_image)):
            chosen.setdefault(request.target, request)
        for request in chosen.values():
            self._resolve(request)
        return self.resolved

    def _from_containers(self, specifications: Iterable[str]) -> list[MountRequest]:
        found: dict[str, MountRequest] = {}
        for text in specifications:
            name, separator, mode = text.partition(":")
            if not name or (separator and mode not in {"ro", "rw", "z", "Z"}):
                raise InvalidInput(f"invalid volumes-from: {text!r}", "give --volumes-from CONTAINER[:ro|rw]")
            found.update((one.target, one) for one in requests_of(self._read(name), read_only=mode == "ro"))
        return list(found.values())

    def _read(self, name: str) -> Document:
        """Return a container's record as it is: a repair might remove it with its volumes, whose lock we hold."""
        store = ContainerStore(self._locations)
        try:
            return documents.read(store.folder(store.id_of(name)))
        except FileNotFoundError:
            raise NoSuchObject(f"No such container: {name}", "it was removed just now by another command") from None

    def _resolve(self, request: MountRequest) -> None:
        if request.kind == BIND:
            self._bind(request)
        elif request.kind == VOLUME:
            self._volume(request)
        elif request.kind == IMAGE:
            self._image(request)
        else:
            self._add(request, {"type": request.kind, "source": request.kind})
            if request.kind == TMPFS and request.document is not None:
                self._show(request, Source="", Propagation="")
            assert request.kind in {TMPFS, DEVPTS}

    def _bind(self, request: MountRequest) -> None:
        source = request.source
        if not os.path.lexists(source):
            if not request.makes_source:
                text = f'invalid mount config for type "bind": bind source path does not exist: {source}'
                raise InvalidInput(text, "create it first, or use -v, which makes folders")
            os.makedirs(source)
        if request.changes_owner and (source in _NEVER_GIVEN_AWAY or source == os.path.expanduser("~")):
            raise InvalidInput(f"will not give {source} to the container's user", "choose a folder made for it, or leave out U")
        self._mount_folder(request, source)
        propagations = [option for option in request.options if option in mount_request.PROPAGATIONS]
        self._show(request, Source=source, Propagation=propagations[-1] if propagations else "rprivate")

    def _volume(self, request: MountRequest) -> None:
        volume = self._volumes.create(request.source or None, dict(request.labels), dict(request.driver_options))
        is_inherited = request.bind is None and request.document is None
        if not request.source or (volume.is_anonymous and is_inherited):  # an anonymous one that the user named stays
            self.resolved.anonymous.append(volume.name)
        source = volume_options.parse_options(volume.options)
        if source.kind == volume_options.TMPFS:
            copied = request.target if request.copies_up else ""
            self._add_point(request, {"Kind": "tmpfs", "Volume": volume.name, "Options": list(source.options), "CopyUp": copied})
        else:
            path = volume.mountpoint if source.kind == volume_options.FOLDER else source.device
            if not os.path.lexists(path):
                text = f"cannot mount volume {volume.name}: no such file or directory: {path}"
                raise InvalidInput(text, "create its device first")
            flags = [option for option in source.options if option not in {"bind", "rbind"}]
            self._mount_folder(request._replace(options=(*flags, *request.options)), path, volume)
        self._show(request, Name=volume.name, Source=volume.mountpoint, Driver=DRIVER, Propagation="")

    def _mount_folder(self, request: MountRequest, source: str, volume: Volume | None = None) -> None:
        if request.changes_owner and not request.subpath and request.overlay is None:
            self.resolved.staging["Owned"].append(source)
        if request.subpath:
            what = f"volume {volume.name}" if volume else source
            self._add_point(request, {"Kind": "subpath", "Top": source, "Path": request.subpath, "What": what})
        elif request.overlay is not None:
            upper, work = request.overlay
            self._add_point(request, {"Kind": "overlay", "Lower": source, "Upper": upper, "Work": work})
        else:
            self._add(request, {"type": BIND, "source": source})
            if volume is not None and request.copies_up:
                self.resolved.staging["CopyUp"].append([volume.folder, source, request.target])

    def _image(self, request: MountRequest) -> None:
        keys = list(request.layer_keys)
        if not keys:
            image = find_image(self._locations, request.source)
            keys = list(image.layer_keys)
            self.resolved.images.append({"Id": image.id, "LayerKeys": keys})
        point = {
            "Kind": "image",
            "LayerKeys": keys,
            "Writable": not request.read_only,
            "Path": request.subpath,
            "What": f"image {request.source}",
        }
        self._add_point(request, point)
        self._show(request, Name=request.source, Source="", Propagation="")

    def _add_point(self, request: MountRequest, point: dict[str, Any]) -> None:
        points = self.resolved.staging["Points"]
        points.append({**point, "Number": len(points), "Owned": request.changes_owner})
        self._add(request, {"type": BIND, "source": f"{self._folder}/staging/{len(points) - 1}"})

    def _add(self, request: MountRequest, mount: dict[str, Any]) -> None:
        options = list(request.options)
        if mount["type"] == BIND and not {"bind", "rbind"} & set(options):
            options.insert(0, "rbind")
        self.resolved.oci.append({"destination": request.target, **mount, "options": options})

    def _show(self, request: MountRequest, **fields: str) -> None:
        name = {"Name": fields["Name"]} if "Name" in fields else {}
        driver = {"Driver": fields["Driver"]} if "Driver" in fields else {}
        self.resolved.shown.append(
            {
                "Type": request.kind,
                **name,
                "Source": fields["Source"],
                "Destination": request.target,
                **driver,
                "Mode": request.mode,
                "RW": not request.read_only,
                "Propagation": fields["Propagation"],
            }
        )


def is_anonymous_short(request: MountRequest) -> bool:
    """Tell whether a mount is the anonymous volume of `-v PATH`, which everything else at that path goes before."""
    return request.kind == VOLUME and not request.source and request.document is None


def requests_of(document: Document, *, read_only: bool) -> list[MountRequest]:
    """Return the volumes and binds of a container as another container asks for them by `--volumes-from`."""
    subpaths = {
        one["Target"]: one.get("VolumeOptions", {}).get("Subpath", "") for one in document["HostConfig"].get("Mounts") or ()
    }
    requests = []
    for mount in document["Mounts"]:
        if mount["Type"] not in {BIND, VOLUME}:
            continue
        is_read_only = read_only or not mount["RW"]
        propagation = [mount["Propagation"]] if mount["Type"] == BIND else []
        request = MountRequest(
            mount["Type"],
            mount["Name"] if mount["Type"] == VOLUME else mount["Source"],
            mount["Destination"],
            ("rbind", *propagation, *(["ro", "rro"] if is_read_only else [])),
            is_read_only,
            mode=mount["Mode"],
            overlay=Overlay() if "O" in mount["Mode"].split(",") else None,
            subpath=subpaths.get(mount["Destination"], ""),
        )
        requests.append(request)
    return requests


def find_image(locations: Locations, name: str) -> Image:
    """Return an image to mount, whose layers are there. Raises `NoSuchObject`."""
    image = ImageStore(locations).find(name)
    if image is None or not all(os.path.exists(layer) for layer in layer_folders(locations, image)):
        raise NoSuchObject(f"No such image: {name}", f"pull it first: rl pull {name}")
    return image


def _volumes_of_image(paths: Iterable[str]) -> list[MountRequest]:
    requests = []
    for path in paths:
        try:
            requests.append(MountRequest(VOLUME, "", mount_request.check_target(os.path.join("/", path))))
        except InvalidInput as error:
            raise CorruptImage(f"the image has a volume that cannot be: {path!r}: {error.message}", error.hint) from None
    return requests
