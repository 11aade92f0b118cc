"""Building an image from a Dockerfile: the plan of its stages, each of them in turn, and the image that the last one makes."""

import functools
from collections.abc import Mapping
from typing import NamedTuple

from rootless.build import reader, scratch
from rootless.build.plan import make_plan
from rootless.build.reader import Dockerfile
from rootless.build.scope import Arguments
from rootless.build.stage import Engine, Folder, Stage
from rootless.build.stage_builder import FindImage, Session
from rootless.build.stages import build_stages
from rootless.containers.store import ContainerStore
from rootless.errors import NoSuchObject
from rootless.images import additions, platform, reference
from rootless.images.new_image import write_documents
from rootless.images.store import Image, ImageStore


class BuildOptions(NamedTuple):
    """What the user asks of a build; `dockerfile` is its text, `name` what messages call it, `arguments` those of --build-arg."""

    context: Folder
    dockerfile: str
    name: str = "Dockerfile"
    tags: tuple[str, ...] = ()
    arguments: Mapping[str, str] = {}
    target: str | None = None
    labels: Mapping[str, str] = {}
    contexts: Mapping[str, Folder | str] = {}  # of --build-context, by name in lower case: folders, and names of images
    platform: str | None = None
    uncached: frozenset[str] = frozenset()  # of --no-cache-filter
    secrets: Mapping[str, bytes] = {}  # by ID
    ssh: Mapping[str, tuple[str, ...]] = {}  # an agent's socket, or keys, by ID


def build(engine: Engine, options: BuildOptions, find_image: FindImage) -> Image:
    """Build an image and return it; `find_image` gets that of a FROM. The caller is single-threaded.

    Raises `InvalidInput`, `RlError` (a failed step, with its exit status), `NodeLacks`, `OSError`; no image is made then.
    """
    targets = [reference.parse_new(tag) for tag in options.tags]
    dockerfile = reader.read(options.dockerfile, options.name)
    wanted = platform.parse(options.platform) if options.platform else None
    arguments = Arguments(options.arguments, wanted, options.target or "")
    plan = make_plan(dockerfile, arguments, options.target, options.contexts)
    ContainerStore(engine.locations).list()  # removes what a build that was killed has left
    with additions.adding(engine.locations), scratch.folder(engine.locations) as folder:
        session = Session(
            engine,
            options.context,
            options.contexts,
            arguments,
            plan,
            functools.cache(find_image),
            options.platform,
            options.uncached,
            len(dockerfile.instructions),
            folder,
            options.secrets,
            options.ssh,
            {},
        )
        build_stages(session)
        _tell_unused(session, dockerfile)
        return _stored(engine, _finished(session.stages[plan.order[-1]], options.labels), [target.name for target in targets])


def _tell_unused(session: Session, dockerfile: Dockerfile) -> None:
    """Warn of arguments that no ARG names, as BuildKit does: a misspelt one would have no effect without a word."""
    named = {word.partition("=")[0] for one in dockerfile.instructions if one.name == "ARG" for word in one.arguments}
    known = {*named, *session.arguments.proxies, *session.arguments.global_ones}
    unused = sorted(name for name in session.arguments.given if name not in known)
    if unused:
        session.engine.say(f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed")


def _stored(engine: Engine, stage: Stage, names: list[str]) -> Image:
    """Write the image of the target, and give it its names."""
    store = ImageStore(engine.locations)
    new = write_documents(store.layout, stage.layers, stage.config, stage.layer_keys, stage.size)
    wanted: list[str | None] = [*names]
    for name in wanted or [None]:
        if not store.add(new, name):
            raise NoSuchObject("a layer of the new image was removed by another process", "build again")
    return store.added(new)


def _finished(stage: Stage, labels: Mapping[str, str]) -> Stage:
    """Return the stage with the config of an image."""
    if labels:
        stage.settings["Labels"] = {**(stage.settings.get("Labels") or {}), **labels}
    stage.drop_empty_base()
    stage.config.update(created=stage.created, config=stage.settings, rootfs={"type": "layers", "diff_ids": list(stage.diff_ids)})
    return stage
