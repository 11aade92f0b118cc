"""A blob on its way into the store: kept when interrupted, hashed as it arrives, in its place only when the digest is right."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable
from types import TracebackType
from typing import Final

from rootless.errors import CorruptImage
from rootless.images.blobs import explain_full_disk, install
from rootless.images.layout import Layout
from rootless.linux import stand_in
from rootless.linux.file_lock import HOLDER, REFUSED

_CHUNK: Final = 1 << 20


class PartialBlob:
    """A `registry.client.BlobSink` on the file of an unfinished download, locked against other processes.

    Use as a context manager after `try_open`. Raises `NodeLacks` when the disk is full; what has come stays for the next pull.
    """

    def __init__(self, layout: Layout, digest: str, descriptor: int, arrived: Callable[[int], None], holder: str) -> None:
        """`holder` is the file that stands for the lock of `descriptor`, if there is one."""
        self._holder = holder
        self.digest = digest
        self.offset = 0
        self.resumed = False
        self._layout = layout
        self._path = layout.partial_path(digest)
        self._file = open(descriptor, "r+b", buffering=0)  # noqa: SIM115 - closed by __exit__
        self._algorithm, _, self._encoded = digest.partition(":")
        self._hash = hashlib.new(self._algorithm)
        self._arrived = arrived

    @classmethod
    def try_open(cls, layout: Layout, digest: str, arrived: Callable[[int], None]) -> "PartialBlob | None":
        """Open and lock the file, or return None while another process downloads this blob. `arrived` is told the offset."""
        layout.prepare()
        path = layout.partial_path(digest)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        holder = ""
        try:
            holder = _lock(descriptor, path)
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:  # else it has just been renamed to its blob
                return cls(layout, digest, descriptor, arrived, holder)
        except (BlockingIOError, FileNotFoundError):
            pass  # both mean that another process has it; the caller looks again later
        if holder:
            stand_in.drop(holder)
        os.close(descriptor)
        return None

    def __enter__(self) -> "PartialBlob":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        if self._holder:
            stand_in.drop(self._holder)

    def load(self, size: int) -> None:
        """Hash what an earlier pull left; what is too long is thrown away. Slow: to be run in a thread."""
        if os.fstat(self._file.fileno()).st_size > size:
            self._file.truncate(0)
        while chunk := self._file.read(_CHUNK):
            self._hash.update(chunk)
            self.offset += len(chunk)
        self.resumed = self.offset > 0
        self._arrived(self.offset)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        view = memoryview(data)
        with explain_full_disk(self._path):
            while view:
                view = view[self._file.write(view) :]
        self._hash.update(data)
        self.offset += len(data)
        self._arrived(self.offset)

    def restart(self) -> None:
        """Forget all bytes."""
        self._file.seek(0)
        self._file.truncate(0)
        self._hash = hashlib.new(self._algorithm)
        self.offset = 0
        self.resumed = False
        self._arrived(0)

    def is_right(self) -> bool:
        """Tell whether the bytes have the blob's digest."""
        return self._hash.hexdigest() == self._encoded

    def commit(self) -> None:
        """Make the blob last and put it in its place. Slow (fsync): to be run in a thread."""
        os.fsync(self._file.fileno())
        install(self._layout, self._path, self.digest)

    def discard(self) -> None:
        """Remove the file; nothing but closing may follow."""
        os.unlink(self._path)

    def wrong(self, sender: str) -> CorruptImage:
        """Return the error for bytes that have another digest."""
        return CorruptImage(
            f"wrong digest: {sender} sent {self._algorithm}:{self._hash.hexdigest()} for {self.digest}",
            "the registry, or something on the way, is broken; nothing was kept",
        )


def _lock(descriptor: int, path: str) -> str:
    """Lock a file; return the file that stands for the lock where there are none. Raises `BlockingIOError`."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        if not stand_in.take(path + HOLDER):
            raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), path) from None
        return path + HOLDER
    return ""
