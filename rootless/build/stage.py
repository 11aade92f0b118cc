"""One stage of a build: its layers and config so far, and what makes a further layer of a step.

A step works in a container of its own, which is made of the layers below and never seen again; its layer is what it changed, read
from its upper. So steps have the runtime, security and network of containers. The caller is in `additions.adding` all the time,
which keeps the new layers until the image names them.
"""

import contextlib
import copy
import functools
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple

from rootless.build.cache import StepCache, content_of, key_of
from rootless.build.copied_files import FilesPart, Part, TarPart, write_tar
from rootless.build.dockerfile.ignore import NOTHING, Ignored
from rootless.build.layer_writer import LayerWriter
from rootless.build.mount_points import remove_mount_points
from rootless.build.selection import Selection
from rootless.containers import lifecycle
from rootless.containers.commit import write_layer
from rootless.containers.copying.roots import started_copy
from rootless.containers.create import create
from rootless.containers.documents import Document
from rootless.containers.lifecycle import Running
from rootless.containers.options import CreateOptions
from rootless.containers.root_trees import root_trees
from rootless.containers.store import ContainerStore
from rootless.images import layers, tar_writer
from rootless.images.manifest import Blob, parse_manifest
from rootless.images.new_image import StoredLayer, now, store_layer
from rootless.images.store import Image
from rootless.images.tar_writer import TarWriter
from rootless.locations import Locations
from rootless.namespaces.worker import run_in_parent

Follow = Callable[[Running, Document], int]
"""Shows what a started step writes until its end; returns its exit status."""


class Engine(NamedTuple):
    """What steps work with; `network` as in `rl run --network`; `say` is told each step; `steps` are their containers' options."""

    locations: Locations
    environ: Mapping[str, str]
    follow: Follow
    network: str
    cache: StepCache
    say: Callable[[str], None]
    steps: CreateOptions = CreateOptions()


class Given(NamedTuple):
    """What COPY says of the files: USER[:GROUP], or "" for those they have (root of a folder); a mode, "" for their own."""

    owner: str = ""
    mode: str = ""


class Folder(NamedTuple):
    """A folder of the node to copy from, whose files become root's: the context, or what was fetched; and what it leaves out."""

    path: str
    ignored: Ignored = NOTHING


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
        self.created = str(self.config.get("created") or now())  # when its last step was made, that of an earlier build, too
        self._base_id = base.id if base else f"sha256:{'0' * 64}"
        self._has_empty_base = base is None
        if base is None:  # the union needs a layer below
            self._put_layer(io.BytesIO(_empty_layer()))

    @property
    def environment(self) -> dict[str, str]:
        """The variables that ENV has set."""
        return dict(entry.partition("=")[::2] for entry in self.settings.get("Env") or ())

    @property
    def workdir(self) -> str:
        """The working directory."""
        return str(self.settings.get("WorkingDir") or "/")

    def copied(self, engine: Engine) -> "Stage":
        """Return a stage that goes on from here, with an engine of its own."""
        new = copy.copy(self)
        new._engine = engine
        new.config, new.settings = dict(self.config), copy.deepcopy(self.settings)
        new.layers = list(self.layers)
        return new

    def state(self) -> dict[str, Any]:
        """Return what `of_state` makes a stage of, in another process; JSON can carry it."""
        kept = {"config": self.config, "settings": self.settings, "diff_ids": self.diff_ids, "layer_keys": self.layer_keys}
        own = {"size": self.size, "created": self.created, "base_id": self._base_id, "has_empty_base": self._has_empty_base}
        return {**kept, **own, "layers": self.layers}

    @classmethod
    def of_state(cls, engine: Engine, state: dict[str, Any]) -> "Stage":
        """Return the stage that another process has built."""
        new = cls.__new__(cls)
        new._engine = engine
        new.config, new.settings, new.size = state["config"], state["settings"], state["size"]
        new.created = state["created"]
        new.layers = [Blob(*layer) for layer in state["layers"]]
        new.diff_ids, new.layer_keys = tuple(state["diff_ids"]), tuple(state["layer_keys"])
        new._base_id, new._has_empty_base = state["base_id"], state["has_empty_base"]
        return new

    def run(self, arguments: list[str], options: CreateOptions, key: tuple[Any, ...], places: Sequence[str] = ()) -> int:
        """Run a command and keep what it changed; returns its exit status, other than 0 without a layer.

        `options` are those of its container, `key` what of them its outcome depends on, `places` the paths that they mount upon.
        """
        step = self.key("run", arguments, self.settings.get("User") or "", *key)
        if self._take_cached(step):
            return 0
        options = options._replace(
            arguments=tuple(arguments),
            entrypoint="",
            log_driver="none",
            ends_with_us=True,
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
                self._keep_changes(document, step, places)
            return status
        finally:
            if document is not None:
                lifecycle.remove(locations, document["Id"], force=True)

    def copy(self, parts: Sequence[Part], target: str, given: Given) -> None:
        """Copy files to `target`, all in one layer. Raises `RlError`, `OSError`."""
        with contextlib.ExitStack() as stack:
            key = self.key("copy", target, given, [part.key(stack) for part in parts])
            if self._take_cached(key):
                return
            is_single = sum([part.prepare(stack) for part in parts]) == 1

            def put(root: int) -> None:
                for part in parts:
                    part.put(root, target, *given, is_single=is_single)

            def write(layer: LayerWriter) -> None:
                for part in parts:
                    part.write(layer, target, *given, is_single=is_single)

            if not any(part.needs_root for part in parts):
                self._write(key, write)
                return
            with self.container() as document:
                with started_copy(self._engine.locations, document["Id"], put) as wait:
                    wait()
                self._keep_changes(document, key)

    def _write(self, key: str, write: Callable[[LayerWriter], None]) -> None:
        """Make a layer without a container."""
        locations = self._engine.locations
        trees = [f"{layers.folder_of(locations, one)}/{layers.TREE}" for one in reversed(self.layer_keys)]
        with tempfile.TemporaryFile(dir=locations.data_root) as file:

            def work() -> bool:
                with LayerWriter(trees, file.fileno()) as layer:
                    write(layer)
                    return layer.finish()

            is_changed = run_in_parent(locations, work)
            file.seek(0)
            self._note(key, self._put_layer(file) if is_changed else None)

    def part(self, source: "Stage | Folder", selection: Selection, *, unpacks: bool = False) -> Part:
        """Return what is to be copied of another stage, or of a folder; links of the source lead to nothing outside of it."""
        if isinstance(source, Stage):
            return _StagePart(self._engine, source, selection)
        return FilesPart(source.path, selection._replace(ignored=source.ignored), unpacks=unpacks)

    def drop_empty_base(self) -> None:
        """Take the layer away that a stage from scratch began with; an image without any layer keeps it."""
        if self._has_empty_base and len(self.layers) > 1:
            self.layers, self.diff_ids, self.layer_keys = self.layers[1:], self.diff_ids[1:], self.layer_keys[1:]
            self._has_empty_base = False

    def make_folder(self, path: str) -> None:
        """Make a folder, with those above it."""
        key = self.key("folder", path)
        if self._take_cached(key):
            return
        self._write(key, lambda layer: layer.make_folder(path))

    @contextlib.contextmanager
    def container(self) -> Iterator[Document]:
        """Make a container of the stage that does not run, for the time of the context."""
        locations = self._engine.locations
        options = CreateOptions(entrypoint="", log_driver="none", arguments=("build",), network="none", ends_with_us=True)
        document, lock = create(locations, self._engine.environ, self._image(), "build", options, started_at_once=False)
        lock.release()
        try:
            yield document
        finally:
            lifecycle.remove(locations, document["Id"], force=True)

    def _image(self) -> Image:
        """Return what a step's container is made of: no volumes and no health check, which are for those of the image."""
        kept = {key: self.settings[key] for key in ("Env", "User", "WorkingDir") if self.settings.get(key)}
        config = {**self.config, "config": kept}
        return Image(self._base_id, (), (), "", {}, config, self.diff_ids, self.layer_keys, self.size, "")

    def key(self, *parts: Any) -> str:
        """Return the key of a step upon what is there; `parts` are what JSON can carry."""
        return key_of(self.diff_ids, self.settings.get("Env") or [], self.workdir, *parts)

    def _take_cached(self, key: str) -> bool:
        """Put the layer on top that an earlier build has made of the same; False where there is none."""
        step = self._engine.cache.find(key)
        if step is None:
            return False
        self._engine.say("--> Using cache")
        self.created = now() if "SOURCE_DATE_EPOCH" in self._engine.environ else step.created
        if step.layer is not None:
            self._take(step.layer)
        return True

    def _keep_changes(self, document: Document, key: str, places: Sequence[str] = ()) -> None:
        locations = self._engine.locations
        document = ContainerStore(locations).find(document["Id"])
        with tempfile.TemporaryFile(dir=locations.data_root) as file:
            trees = root_trees(locations, document)
            if places:
                run_in_parent(locations, remove_mount_points, trees.upper, trees.layers, list(places))
            is_changed = run_in_parent(locations, write_layer, trees, file.fileno())
            file.seek(0)
            self._note(key, self._put_layer(file) if is_changed else None)

    def _note(self, key: str, layer: StoredLayer | None) -> None:
        self.created = now()
        self._engine.cache.note(key, layer, self.created)

    def _put_layer(self, file: IO[bytes]) -> StoredLayer:
        layer = store_layer(self._engine.locations, file, self.diff_ids)
        self._take(layer)
        return layer

    def _take(self, layer: StoredLayer) -> None:
        self.layers.append(layer.blob)
        self.diff_ids, self.layer_keys, self.size = (*self.diff_ids, layer.diff_id), layer.keys, layer.size


class _StagePart:
    """Files of a stage, which come by way of a tar."""

    def __init__(self, engine: Engine, source: Stage, selection: Selection) -> None:
        self._engine = engine
        self._source = source
        self._selection = selection
        self._tar: TarPart | None = None
        self._count = 0

    def key(self, stack: contextlib.ExitStack) -> Any:
        """Return a digest of the files, which the cache knows of a source that was read before."""
        chosen = self._selection
        known_by = key_of("content", self._source.diff_ids, chosen.paths, chosen.excluded.patterns, chosen.parents)
        found = self._engine.cache.content(known_by)
        if found is None:
            found = content_of(self._written(stack).members(), with_owners=True)
            self._engine.cache.note_content(known_by, found)
        return ["from", found]

    def prepare(self, stack: contextlib.ExitStack) -> int:
        """Write the tar."""
        self._written(stack)
        return self._count

    def _written(self, stack: contextlib.ExitStack) -> TarPart:
        if self._tar is None:
            locations = self._engine.locations
            temporary = tempfile.TemporaryFile(dir=locations.data_root)  # noqa: SIM115 - the stack closes it
            file: IO[bytes] = stack.enter_context(temporary)
            read = functools.partial(write_tar, selection=self._selection, output=file)
            with self._source.container() as document, started_copy(locations, document["Id"], read) as wait:
                self._count = wait()
            self._tar = TarPart(file)
        return self._tar

    @property
    def needs_root(self) -> bool:
        """A stage's archives are not unpacked."""
        return False

    def put(self, root: int, target: str, owner: str, mode: str, *, is_single: bool) -> None:
        """Write the files, which keep their owners unless another is given."""
        assert self._tar is not None  # prepared
        self._tar.put(root, target, owner, mode, is_single=is_single)

    def write(self, layer: LayerWriter, target: str, owner: str, mode: str, *, is_single: bool) -> None:
        """Write the files to a layer, likewise."""
        assert self._tar is not None  # prepared
        self._tar.write(layer, target, owner, mode, is_single=is_single)


def _empty_layer() -> bytes:
    content = bytearray()
    writer = TarWriter(content.extend)
    writer.add(tar_writer.folder("."))
    writer.finish()
    return bytes(content)
