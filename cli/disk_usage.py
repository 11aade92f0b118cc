"""What `rl system df` counts: images with their layers and blobs, what containers wrote, and volumes."""

from collections import Counter
from typing import Final, NamedTuple

from cli.image_rows import Usage
from cli.sizes import human_size
from rootless.containers.documents import Document
from rootless.containers.store import ContainerStore, images_of
from rootless.containers.volume_users import volumes_of
from rootless.images.history import layer_size
from rootless.images.listing import ListedImage, layer_keys_of, list_images
from rootless.images.reach import reach_of
from rootless.images.store import ImageStore
from rootless.images.sweep import size_of_blob
from rootless.locations import Locations
from rootless.storage.usage import sizes_of_uppers, tree_sizes
from rootless.storage.volumes import VolumeStore

_DIGITS: Final = 4


class Row(NamedTuple):
    """One kind of object; sizes in bytes. `percent`: whether Docker shows the reclaimable part so, too."""

    kind: str
    total: int
    active: int
    size: int
    reclaimable: int
    percent: bool = True

    def fields(self) -> dict[str, str]:
        """Return the fields of Docker's formatter."""
        share = f" ({self.reclaimable * 100 // self.size}%)" if self.percent and self.size else ""
        return {
            "Active": str(self.active),
            "Reclaimable": human_size(self.reclaimable, _DIGITS) + share,
            "Size": human_size(self.size, _DIGITS),
            "TotalCount": str(self.total),
            "Type": self.kind,
        }


class DiskUsage:
    """The whole data root. Reads the records of all images, and in the parent namespace the files of all containers."""

    def __init__(self, locations: Locations) -> None:
        """Look at all of it now; the caller is single-threaded."""
        self.store = ImageStore(locations)
        self.images = list_images(self.store)
        self.containers: list[Document] = ContainerStore(locations).list()
        self.written = sizes_of_uppers(locations, [document["Id"] for document in self.containers])
        self.volumes = VolumeStore(locations).list()
        self.volume_sizes = tree_sizes(locations, [volume.mountpoint for volume in self.volumes])
        self.volume_users = Counter(name for document in self.containers for name in set(volumes_of(document)))
        self._users = Counter(image_id for document in self.containers for image_id in images_of(document))

    def rows(self) -> list[Row]:
        """Return Docker's four rows."""
        used = [image for image in self.images if self._users[image.id]]
        size = self._size(self.images)
        running = [one["Id"] for one in self.containers if one["State"]["Running"]]
        written = sum(self.written.values())
        stopped = written - sum(self.written[one] for one in running)
        return [
            Row("Images", len(self.images), len(used), size, size - self._size(used)),
            Row("Containers", len(self.containers), len(running), written, stopped),
            self._volume_row(),
            Row("Build Cache", 0, 0, 0, 0, percent=False),
        ]

    def _volume_row(self) -> Row:
        sizes = dict(zip((volume.name for volume in self.volumes), self.volume_sizes, strict=True))
        unused = [size for name, size in sizes.items() if not self.volume_users[name]]
        return Row("Local Volumes", len(sizes), len(sizes) - len(unused), sum(sizes.values()), sum(unused))

    def image_usage(self) -> dict[str, Usage]:
        """Return by image ID what its layers share with other images and what not."""
        keys = {image.id: layer_keys_of(self.store, image) for image in self.images}
        users = Counter(key for stack in keys.values() for key in set(stack))
        sizes = {key: layer_size(self.store.locations, key) for key in users}
        return {
            image_id: Usage(
                shared=sum(sizes[key] for key in set(stack) if users[key] > 1),
                unique=sum(sizes[key] for key in set(stack) if users[key] == 1),
                containers=self._users[image_id],
            )
            for image_id, stack in keys.items()
        }

    def _size(self, images: list[ListedImage]) -> int:
        """Return the bytes that images take: of each blob and each unpacked layer once."""
        reach = reach_of(self.store, [entry for image in images for entry in image.entries])
        blobs = sum(size_of_blob(self.store, digest) for digest in reach.blobs)
        return blobs + sum(layer_size(self.store.locations, key) for key in reach.layer_keys)
