"""The network part of a push: what a registry lacks of an image's blobs, in parallel, then the manifest under its tag."""

from typing import BinaryIO

import trio

from rootless.errors import CorruptImage
from rootless.images.layout import Layout
from rootless.images.manifest import Blob
from rootless.images.progress import Phase
from rootless.images.push import Outgoing, PushJob
from rootless.images.reference import is_digest
from rootless.registry.connections import Connections
from rootless.registry.parallel import for_all
from rootless.registry.retry import Patience
from rootless.registry.session import Session, push_scopes
from rootless.registry.upload import AT_ONCE, Outcome, put_manifest, upload_blob

_PHASES = {Outcome.EXISTED: Phase.PRESENT, Outcome.MOUNTED: Phase.MOUNTED, Outcome.SENT: Phase.PUSHED}


def push_images(job: PushJob, images: list[Outgoing]) -> list[str]:
    """Push images to one repository, one after the other; return their digests there. Raises as `push.push` says."""
    return trio.run(_push_images, job, images)


async def _push_images(job: PushJob, images: list[Outgoing]) -> list[str]:
    endpoint = job.endpoint
    origins = {origin for image in images for origin in image.origins.values()}
    found = job.access.login_for(endpoint, job.environ)
    async with Connections(job.environ, job.patience or Patience(), job.etc) as connections:
        session = Session(connections, endpoint, found, scopes=push_scopes(endpoint.path, origins))
        return [await _Push(job, session, image).run() for image in images]


class _Push:
    """The push of one image."""

    def __init__(self, job: PushJob, session: Session, image: Outgoing) -> None:
        self._progress = job.progress
        self._session = session
        self._image = image
        self._layout = Layout(job.locations)

    async def run(self) -> str:
        config, *layers = self._image.blobs
        distinct = {layer.digest: layer for layer in layers}
        for layer in distinct.values():
            self._progress.layer(layer.digest, Phase.PREPARING, 0, layer.size)
        await for_all(distinct.values(), self._layer, AT_ONCE)
        await upload_blob(self._session, config.digest, config.size, lambda: self._open(config))
        digest = await put_manifest(self._session, self._image.reference, self._image.content, self._image.media_type)
        shown = "" if is_digest(self._image.reference) else f"{self._image.reference}: "
        self._progress.message(f"{shown}digest: {digest} size: {len(self._image.content)}")
        return digest

    async def _layer(self, layer: Blob) -> None:
        def told(offset: int) -> None:
            self._progress.layer(layer.digest, Phase.PUSHING, offset, layer.size)

        origin = self._image.origins.get(layer.digest)
        outcome = await upload_blob(self._session, layer.digest, layer.size, lambda: self._open(layer), origin, told)
        self._progress.layer(layer.digest, _PHASES[outcome], layer.size, layer.size)

    def _open(self, blob: Blob) -> BinaryIO:
        try:
            return open(self._layout.blob_path(blob.digest), "rb")
        except FileNotFoundError:
            raise CorruptImage(f"blob {blob.digest} is missing from the store", "pull the image again") from None
