"""Pulling an image: the name's meaning, then manifest, config and layers into the store, unpacked as they arrive.

This file is what happens before and after the network; `fetch_image` has trio and httpx, which cost 0.3 s to import.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from rootless.errors import InvalidInput, NoSuchObject, RegistryError, RlError
from rootless.images import additions, reference
from rootless.images import platform as platforms
from rootless.images.progress import NoProgress, Progress
from rootless.images.reference import Reference
from rootless.images.store import Image, ImageStore, NewImage
from rootless.images.unpack_service import UnpackService
from rootless.locations import Locations
from rootless.registry.access import AS_FILES_SAY, Access

if TYPE_CHECKING:
    from rootless.registry.configuration import Registries
    from rootless.registry.retry import Patience

_TRIES: Final = 3


class PullJob(NamedTuple):
    """What stays the same through one pull; `asked` is what `--platform` says, or None for this machine's."""

    locations: Locations
    registries: "Registries"
    environ: Mapping[str, str]
    etc: str
    asked: platforms.Platform | None
    progress: Progress
    patience: "Patience | None"
    access: Access


def pull(
    locations: Locations,
    name: str,
    *,
    environ: Mapping[str, str],
    progress: Progress | None = None,
    platform: str | None = None,
    if_missing: bool = False,
    patience: "Patience | None" = None,
    access: Access = AS_FILES_SAY,
    etc: str = "/etc",
) -> Image:
    """Bring the image that a registry has under `name` into the store, and return it.

    Short names go by aliases and search registries of registries.conf. `platform` is `OS/ARCH[/VARIANT]`, by default
    this machine's. `patience` are time-outs and numbers of tries, `access` is what files do not say of registries. With
    `if_missing` no registry is asked when the store has the name that `name` stands for. The caller is single-threaded.
    Raises `InvalidInput`, `NoSuchObject`, `RegistryError`, `CorruptImage`, `NodeLacks`; then the store is as before, but for
    unfinished downloads, which the next pull goes on with.
    """
    parsed = reference.parse(name)
    asked = platforms.parse(platform) if platform else None
    registries = access.registries(environ, etc)
    job = PullJob(locations, registries, environ, etc, asked, progress or NoProgress(), patience, access)
    candidates = _candidates(job, name, parsed)
    if if_missing:
        store = ImageStore(locations)
        for candidate in candidates:
            image = store.find(candidate.name)
            if image is not None:
                return image
    if parsed.digest is None and not reference.has_tag(name):
        job.progress.message(f"Using default tag: {reference.DEFAULT_TAG}")
    (image,) = _pull_first(job, name, candidates, all_tags=False).values()
    return image


def pull_all_tags(
    locations: Locations,
    repository: str,
    *,
    environ: Mapping[str, str],
    progress: Progress | None = None,
    platform: str | None = None,
    patience: "Patience | None" = None,
    access: Access = AS_FILES_SAY,
    etc: str = "/etc",
) -> dict[str, Image]:
    """Bring all tags of a repository into the store; return their images by whole name. Options and errors as `pull`."""
    if reference.has_tag(repository) or "@" in repository:
        raise InvalidInput("tag can't be used with --all-tags/-a", "give the repository only")
    parsed = reference.parse(repository)
    asked = platforms.parse(platform) if platform else None
    registries = access.registries(environ, etc)
    job = PullJob(locations, registries, environ, etc, asked, progress or NoProgress(), patience, access)
    return _pull_first(job, repository, _candidates(job, repository, parsed), all_tags=True)


def _candidates(job: PullJob, name: str, parsed: Reference) -> list[Reference]:
    """Return what a name may stand for, in the order to try it."""
    if not reference.is_short(name):
        return [parsed]
    repositories = job.registries.repositories_of(parsed.path.removeprefix("library/"))
    if job.access.login is not None and len(repositories) > 1:
        raise InvalidInput(f"{name} may be in several registries: none gets the password", "give the name with its registry")
    return [parsed.with_repository(reference.parse(repository).repository) for repository in repositories]


def _pull_first(job: PullJob, name: str, candidates: list[Reference], *, all_tags: bool) -> dict[str, Image]:
    failures: list[RlError] = []
    for candidate in candidates:
        try:
            return _pull_from(job, candidate, all_tags=all_tags)
        except (NoSuchObject, RegistryError) as error:
            if len(candidates) == 1:
                raise
            failures.append(error)
            job.progress.warning(f"{candidate.name}: {error.message}")
    raise NoSuchObject(f"no registry of the search list has {name}: {failures[-1].message}", "give the name with its registry")


def _pull_from(job: PullJob, wanted: Reference, *, all_tags: bool) -> dict[str, Image]:
    """Pull from the place that a name stands for; return what came by whole name."""
    store = ImageStore(job.locations)
    store.layout.prepare()
    images: dict[str, Image] = {}

    def add(found: Reference, new: NewImage) -> bool:
        before = store.find(found.name)
        if not store.add(new, found.name):
            return False
        image = store.find(new.id)
        if image is None:  # removed again, this very moment
            return False
        images[found.name] = image
        store.note("pull", found.name, found.name)
        _report(job.progress, found, new.source_digest, changed=before is None or before.id != image.id)
        return True

    with additions.adding(job.locations):
        for _ in range(_TRIES):
            service = UnpackService(job.locations)
            completed = False
            try:
                from rootless.images.fetch_image import fetch_images  # after the fork: trio and httpx, 0.3 s

                all_there = fetch_images(job, wanted, service, add, all_tags=all_tags)
                completed = True
            finally:
                service.end(at_once=not completed)
            if all_there:
                return images
    raise RegistryError(f"cannot pull {wanted.name}: another process removes its layers again and again", "try again later")


def _report(progress: Progress, wanted: Reference, digest: str | None, *, changed: bool) -> None:
    shown = reference.familiar_name(wanted.name)
    progress.message(f"Digest: {digest}")
    progress.message(f"Status: Downloaded newer image for {shown}" if changed else f"Status: Image is up to date for {shown}")
