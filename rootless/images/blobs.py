"""Writing blobs: under another name, hashed while written, fsynced, renamed (DESIGN section 3)."""

import contextlib
import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from types import TracebackType

from rootless.errors import CorruptImage, NodeLacks
from rootless.images.layout import Layout


class BlobWriter:
    """Writes one new blob whose digest is not known yet. Use as a context manager; without `commit` nothing is kept."""

    def __init__(self, layout: Layout) -> None:
        layout.prepare()
        self._layout = layout
        self._hash = hashlib.sha256()
        self._temporary = layout.partial_path(f"new:{secrets.token_hex(8)}")
        self._file = open(self._temporary, "xb")  # noqa: SIM115 - closed by __exit__
        self.size = 0

    def __enter__(self) -> "BlobWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._file.closed:
            self._file.close()
            os.unlink(self._temporary)

    def write(self, data: bytes) -> None:
        """Append `data`. Raises `NodeLacks` when the disk is full."""
        with explain_full_disk(self._temporary):
            self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def flushed(self) -> str:
        """Return the path of the unfinished blob, all of whose bytes can be read there now."""
        self._file.flush()
        return self._temporary

    def commit(self, digest: str | None = None) -> str:
        """Put the blob in its place and return its digest: a checked one of the caller's, or SHA-256."""
        digest = digest or f"sha256:{self._hash.hexdigest()}"
        with explain_full_disk(self._temporary):
            self._file.flush()
            os.fsync(self._file.fileno())
        install(self._layout, self._temporary, digest)
        self._file.close()
        return digest


def write_blob(layout: Layout, content: bytes, digest: str | None = None) -> str:
    """Write a small blob (a manifest, a config) and return its digest: `digest`, which the caller has checked, or SHA-256."""
    with BlobWriter(layout) as writer:
        writer.write(content)
        return writer.commit(digest)


@contextlib.contextmanager
def explain_full_disk(path: str) -> Iterator[None]:
    """Turn ENOSPC and EDQUOT into `NodeLacks` with what the user can do; `path` is what was written."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise NodeLacks(
            f"cannot write {path}: {error.strerror}", "free some space, or set RL_ROOT to a folder on another disk"
        ) from error


def check_digest(content: bytes, expected: str) -> None:
    """Raise `CorruptImage` where `content` does not have the digest `expected`."""
    algorithm, _, encoded = expected.partition(":")
    found = hashlib.new(algorithm, content).hexdigest()
    if found != encoded:
        raise CorruptImage(
            f"wrong digest: expected {expected}, received {algorithm}:{found}", "the registry, or something on the way, is broken"
        )


def install(layout: Layout, temporary: str, digest: str) -> None:
    """Rename a written, verified and fsynced file to its blob's name, and make that last."""
    target = layout.blob_path(digest)
    folder = os.path.dirname(target)
    os.makedirs(folder, 0o700, exist_ok=True)
    os.rename(temporary, target)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
