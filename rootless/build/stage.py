"""One stage of a build: its layers and config so far, and what makes a further layer of a step.

A step works in a container of its own, which is made of the layers below and never seen again; its layer is what it changed, read
from its upper. So steps have the runtime, security and network of containers. The caller is in `additions.adding` all the time,
which keeps the new layers until the image names them.
"""

import contextlib
import copy
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, NamedTuple

from rootless.build.cache import StepCache, content_of, key_of
from rootless.containers import lifecycle
from rootless.containers.commit import write_layer
from rootless.containers.copying.extraction import Owner, extract_copy
from rootless.containers.copying.places import Place
from rootless.containers.copying.roots import started_copy
from rootless.containers.copying.tree import TOP, write_tree
from rootless.containers.create import create
from rootless.containers.documents import Document
from rootless.containers.lifecycle import Running
from rootless.containers.options import CreateOptions
from rootless.containers.root_trees import root_trees
from rootless.containers.store import ContainerStore
from rootless.errors import NoSuchObject
from rootless.images import tar, tar_writer
from rootless.images.manifest import Blob, parse_manifest
from rootless.images.new_image import StoredLayer, store_layer
from rootless.images.output_file import write_all
from rootless.images.store import Image
from rootless.images.tar import TarReader
from rootless.images.tar_writer import TarWriter
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent
from rootless.runtime.mount_points import make_folder
from rootless.runtime.users import resolve

Follow = Callable[[Running, Document], int]
"""Shows what a started step writes until its end; returns its exit status."""


class Engine(NamedTuple):
    """What steps work with; `network` as in `rl run --network`; `say` is told each step."""

    locations: Locations
    environ: Mapping[str, str]
    follow: Follow
    network: str
    cache: StepCache
    say: Callable[[str], None]


class Given(NamedTuple):
    """What COPY says of the files: USER[:GROUP], or "" for those they have (root of the context); a mode, None for their own."""

    owner: str = ""
    mode: int | None = None


class Stage:
    """The state between two steps; `settings` is the object `config` of the image's config."""

    def __init__(self, engine: Engine, base: Image | None) -> None:
        self._engine = engine
        self.config: dict[str, Any] = dict(base.config) if base else {}
        self.settings: dict[str, Any] = dict(self.config.get("config") or {})
        self.layers: list[Blob] = list(parse_manifest(base.manifest).layers) if base else []
        self.diff_ids = base.diff_ids if base else ()
        self.layer_keys = base.layer_keys if base else ()
        self.size = base.size if base else 0
        self._base_id = base.id if base else f"sha256:{'0' * 64}"
        if base is None:  # the union needs a layer below
            self._put_layer(io.BytesIO(_empty_layer()))

    @property
    def environment(self) -> dict[str, str]:
        """The variables that ENV has set."""
        return dict(entry.partition("=")[::2] for entry in self.settings.get("Env") or ())

    def copied(self) -> "Stage":
        """Return a stage that goes on from here."""
        new = copy.copy(self)
        new.config, new.settings = dict(self.config), copy.deepcopy(self.settings)
        new.layers = list(self.layers)
        return new

    def run(self, arguments: list[str], variables: Mapping[str, str]) -> int:
        """Run a command and keep what it changed; returns its exit status, other than 0 without a layer."""
        key = self._key("run", arguments, variables, self.settings.get("User") or "", self._engine.network)
        if self._take_cached(key):
            return 0
        options = self._options()._replace(
            arguments=tuple(arguments),
            environment=tuple(f"{name}={value}" for name, value in variables.items()),
            network=self._engine.network,
            init=True,  # so that Ctrl-C ends a command that is PID 1
        )
        locations = self._engine.locations
        document: Document | None = None
        try:
            with lifecycle.signals_held():
                document, lock = create(locations, self._engine.environ, self._image(), "build", options)
                running = lifecycle.begin(locations, document, lock)
                status = self._engine.follow(running, document)
            if status == 0:
                self._keep_changes(document, key)
            return status
        finally:
            if document is not None:
                lifecycle.remove(locations, document["Id"], force=True)

    def copy(self, source: "Stage | str", path: str, target: str, given: Given) -> None:
        """Copy a path of another stage, or of the folder `source` (owned by root then), to `target`; of a folder, its content.

        Links of the source lead to nothing outside of it. Raises `RlError`, `OSError`.
        """
        if isinstance(source, Stage):
            key = self._key("copy", path, target, given, source.diff_ids)
            if self._take_cached(key):
                return
        with tempfile.TemporaryFile(dir=self._engine.locations.data_root) as file:
            _read_from(self._engine.locations, source, path, file.fileno())
            if not isinstance(source, Stage):
                key = self._key("copy", path, target, given, content_of(file))
                if self._take_cached(key):
                    return
            with self.container() as document:
                owned = given if isinstance(source, Stage) else given._replace(owner=given.owner or "0")
                self._write(document, file, path, target, owned)
                self._keep_changes(document, key)

    def _write(self, document: Document, file: IO[bytes], path: str, target: str, given: Given) -> None:
        """Write a copy of `path`, which `file` has as a tar, into a container."""
        is_content = _begins_with_folder(file)
        source = f"{path.rstrip('/')}/." if is_content else path
        folder = target if is_content or target.endswith("/") else os.path.dirname(target)

        def extract(root: int) -> None:
            make_folder(root, folder)
            owner = _resolve(root, given.owner) if given.owner else None
            extract_copy(Place(root, target, target), source, _rewritten(file, owner, given.mode), Owner(archive=True))

        with started_copy(self._engine.locations, document["Id"], extract) as wait:
            wait()

    def make_folder(self, path: str) -> None:
        """Make a folder, with those above it."""
        key = self._key("folder", path)
        if self._take_cached(key):
            return
        with self.container() as document:
            with started_copy(self._engine.locations, document["Id"], lambda root: make_folder(root, path)) as wait:
                wait()
            self._keep_changes(document, key)

    @contextlib.contextmanager
    def container(self) -> Iterator[Document]:
        """Make a container of the stage that does not run, for the time of the context."""
        locations = self._engine.locations
        options = self._options()._replace(arguments=("build",), network="none")
        document, lock = create(locations, self._engine.environ, self._image(), "build", options, started_at_once=False)
        lock.release()
        try:
            yield document
        finally:
            lifecycle.remove(locations, document["Id"], force=True)

    def _options(self) -> CreateOptions:
        return CreateOptions(entrypoint="", log_driver="none")

    def _image(self) -> Image:
        """Return what a step's container is made of: no volumes and no health check, which are for those of the image."""
        kept = {key: self.settings[key] for key in ("Env", "User", "WorkingDir") if self.settings.get(key)}
        config = {**self.config, "config": kept}
        return Image(self._base_id, (), (), "", {}, config, self.diff_ids, self.layer_keys, self.size, "")

    def _key(self, *parts: Any) -> str:
        return key_of(self.diff_ids, self.settings.get("Env") or [], self.settings.get("WorkingDir") or "/", *parts)

    def _take_cached(self, key: str) -> bool:
        """Put the layer on top that an earlier build has made of the same; False where there is none."""
        layer = self._engine.cache.find(key)
        if layer is None:
            return False
        self._engine.say("--> Using cache")
        self._take(layer)
        return True

    def _keep_changes(self, document: Document, key: str) -> None:
        locations = self._engine.locations
        document = ContainerStore(locations).find(document["Id"])
        with tempfile.TemporaryFile(dir=locations.data_root) as file:
            run_in_parent(locations, write_layer, root_trees(locations, document), file.fileno())
            file.seek(0)
            self._engine.cache.note(key, self._put_layer(file))

    def _put_layer(self, file: IO[bytes]) -> StoredLayer:
        layer = store_layer(self._engine.locations, file, self.diff_ids)
        self._take(layer)
        return layer

    def _take(self, layer: StoredLayer) -> None:
        self.layers.append(layer.blob)
        self.diff_ids, self.layer_keys, self.size = (*self.diff_ids, layer.diff_id), layer.keys, layer.size


def _read_from(locations: Locations, source: Stage | str, path: str, output: int) -> None:
    def write(root: int) -> None:
        write_tree(Place(root, path, path), lambda data: write_all(output, data), TOP, follow=True)

    if isinstance(source, Stage):
        with source.container() as document, started_copy(locations, document["Id"], write) as wait:
            wait()
        return
    folder = os.open(source, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        write(folder)
    except NoSuchObject:
        raise NoSuchObject(f'failed to compute cache key: "/{path.lstrip("/")}": not found', "it must be in the context") from None
    finally:
        os.close(folder)


def _resolve(root: int, owner: str) -> tuple[int, int]:
    """Return UID and GID; without a group the GID is the UID, as Docker has it."""
    user = resolve(root, owner)
    return user.uid, user.gid if ":" in owner else user.uid


def _rewritten(file: IO[bytes], owner: tuple[int, int] | None, mode: int | None) -> Iterator[bytes]:
    """Yield a tar with another owner and mode of all its members; symbolic links have no mode."""
    reader = TarReader(iter(lambda: file.read(1 << 20), b""))
    for member in reader:
        new = member if owner is None else member._replace(uid=owner[0], gid=owner[1])
        yield tar_writer.header(new if mode is None or member.kind == tar.SYMLINK else new._replace(mode=mode))
        if member.kind == tar.REGULAR:
            yield from map(bytes, reader.content())
            yield bytes(-member.size % tar.BLOCK)
    yield bytes(2 * tar.BLOCK)


def _begins_with_folder(file: IO[bytes]) -> bool:
    """Tell whether the first member of a tar is a folder; leaves the file at its beginning."""
    file.seek(0)
    first = next(iter(TarReader(iter(lambda: file.read(1 << 16), b""))), None)
    file.seek(0)
    return first is not None and first.kind == tar.DIRECTORY


def _empty_layer() -> bytes:
    content = bytearray()
    writer = TarWriter(content.extend)
    writer.add(tar_writer.folder("."))
    writer.finish()
    return bytes(content)
