"""The in-process face of the image store: one object with what programs do with images. See `rootless.images` for its use."""

import os
from collections.abc import Iterable, Mapping
from typing import IO, TYPE_CHECKING, BinaryIO, Literal

from rootless.images.store import Image, ImageStore
from rootless.locations import Locations, from_environment, make_private_folder

if TYPE_CHECKING:
    from rootless.images.diff import Change
    from rootless.images.history import Step
    from rootless.images.progress import Progress
    from rootless.images.remove import Removed, UsersOf

Format = Literal["docker-archive", "oci-archive"]


class Images:
    """The images of one user. Each method imports what it needs: pulling costs 0.3 s of imports, finding nothing.

    All methods raise `rootless.errors.RlError` (`NoSuchObject`, `InvalidInput`, `RegistryError`, `CorruptImage`, `NodeLacks`,
    `InUse`) or `OSError`. Those that unpack or remove fork; the caller must be single-threaded then.
    """

    def __init__(self, locations: Locations | None = None, environ: Mapping[str, str] = os.environ) -> None:
        """`locations` are by default those of `rl` with this environment; `environ` also has proxies and credentials."""
        self.locations = locations or from_environment(environ, os.geteuid())
        self.store = ImageStore(self.locations)
        self._environ = environ
        make_private_folder(self.locations.runtime_dir)

    def list(self) -> list[Image]:
        """Return all images."""
        return self.store.list()

    def find(self, name: str) -> Image | None:
        """Return the image with a name, an ID, or the beginning of one; None where there is none."""
        return self.store.find(name)

    def pull(self, name: str, *, platform: str | None = None, progress: "Progress | None" = None) -> Image:
        """Get an image from a registry; `platform` is `OS/ARCH[/VARIANT]`, by default this machine's."""
        from rootless.images.pull import pull

        return pull(self.locations, name, environ=self._environ, platform=platform, progress=progress)

    def push(self, name: str, destination: str | None = None, *, progress: "Progress | None" = None) -> str:
        """Put an image into the registry that its name, or `destination`, has; return its digest there."""
        from rootless.images.push import push

        return push(self.locations, name, destination, environ=self._environ, progress=progress)

    def load(self, source: str | BinaryIO) -> "tuple[Image, ...]":
        """Bring the images of an archive (docker-archive, oci-archive, also compressed), or of a folder, into the store."""
        from rootless.images.load_archive import load_archive
        from rootless.images.trust import policy

        found = load_archive(self.locations, source, policy=policy.load(self._environ))
        return tuple(loaded.image for loaded in found)

    def save(self, names: Iterable[str], output: int, form: Format = "docker-archive") -> None:
        """Write images to a descriptor as one archive."""
        from rootless.images.save import Saved, save_docker, save_oci

        saved = [Saved(image, image.names) for image in map(self.store.get, names)]
        write = save_docker if form == "docker-archive" else save_oci
        write(self.store.layout, saved, output, lambda _text: None)

    def import_tar(self, source: IO[bytes], name: str | None, *, changes: Iterable[str] = (), message: str = "") -> Image:
        """Make an image of one layer from a root file system's tar; `changes` are Dockerfile instructions."""
        from rootless.images.import_tar import import_tar

        return import_tar(self.locations, source, name, changes=changes, message=message)

    def tag(self, name: str, new_name: str) -> None:
        """Give an image one more name; another that had it loses it."""
        self.store.tag(name, new_name)

    def untag(self, name: str, *names: str) -> None:
        """Take names from an image, all where none is given; the image stays."""
        self.store.untag(name, names)

    def remove(self, name: str, users_of: "UsersOf", *, force: bool = False) -> "Removed":
        """Remove a name, and with its last name the image.

        `users_of` tells for an image's ID which containers use it; `rootless.containers.store.containers_using_image` does.
        """
        from rootless.images.remove import remove

        return remove(self.locations, name, users_of, force=force)

    def history(self, name: str) -> "tuple[Step, ...]":
        """Return the steps that made an image, the last first."""
        from rootless.images.history import history_of

        return tuple(history_of(self.locations, self.store.get(name)))

    def diff(self, name: str, other: str | None = None) -> "tuple[Change, ...]":
        """Return what an image has otherwise than another, by default than itself without its topmost layer."""
        from rootless.images.diff import diff_images

        image = self.store.get(name)
        return tuple(diff_images(self.locations, image, self.store.get(other) if other else None))
