"""The bytes of an archive that may be compressed as a whole: gzip, zstd, xz, bzip2, told by the magic number."""

from collections.abc import Iterator
from typing import Any, Final

from rootless.errors import CorruptImage
from rootless.images.compression import BLOCK, Limits, Source, decompressed, is_compressed

XZ: Final = b"\xfd7zXZ\0"
BZIP2: Final = b"BZh"
_MAX_XZ_MEMORY: Final = 256 << 20  # bytes; `xz -9` needs 65 MiB
_LOOKED_AT: Final = 1 << 30  # as in `compression`: small archives of zeros are no bombs


def archive_blocks(source: Source, limits: Limits) -> Iterator[bytes]:
    """Yield the decompressed blocks of an archive. Raises `CorruptImage` when it is broken or out of bounds."""
    rejoined = Rejoined(source)
    if rejoined.first.startswith((XZ, BZIP2)):
        return decompressed_slowly(rejoined, limits)
    return decompressed(rejoined, limits)


def is_compressed_archive(first: bytes) -> bool:
    """Tell whether an archive that begins like this is compressed as a whole."""
    return is_compressed(first) or first.startswith((XZ, BZIP2))


def decompressed_slowly(source: "Rejoined", limits: Limits) -> Iterator[bytes]:
    """Yield the decompressed blocks of xz or bzip2 data, also of several streams one after the other."""
    padding = b"\0" if source.first.startswith(XZ) else b""  # "Stream Padding" of the .xz format
    failure, make = _xz() if padding else _bzip2()
    produced = 0
    while source.pending or source.refill():
        source.pending = source.pending.lstrip(padding) if padding else source.pending
        decompressor = make() if source.pending else None
        while decompressor is not None and not decompressor.eof:
            if decompressor.needs_input and not source.pending and not source.refill():
                raise CorruptImage("the archive ends in the middle")
            try:
                block = decompressor.decompress(source.pending, BLOCK)
            except failure as error:
                raise CorruptImage(f"the archive's compressed data is broken: {error}") from error
            source.pending = b""
            produced += len(block)
            if produced > limits.total_bytes or (produced > _LOOKED_AT and produced > limits.ratio * source.taken):
                raise CorruptImage(f"the archive grows from {source.taken} to more than {produced} bytes: a decompression bomb")
            yield block
        source.pending = b"" if decompressor is None else decompressor.unused_data


class Rejoined:
    """A source whose first block has been looked at. `pending` is read and not used yet, `taken` counts what was read."""

    def __init__(self, source: Source) -> None:
        self.first = self.pending = source.read(BLOCK)
        self.taken = len(self.first)
        self._source = source

    def refill(self) -> bool:
        """Read more into `pending`, which is empty; False at the end."""
        self.pending = self._source.read(BLOCK)
        self.taken += len(self.pending)
        return bool(self.pending)

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""
        if not self.pending and not self.refill():
            return b""
        data, self.pending = self.pending[:size], self.pending[size:]
        return data


def _xz() -> tuple[type[Exception], Any]:
    import lzma  # only for xz

    return lzma.LZMAError, lambda: lzma.LZMADecompressor(memlimit=_MAX_XZ_MEMORY)


def _bzip2() -> tuple[type[Exception], Any]:
    import bz2  # only for bzip2

    return OSError, bz2.BZ2Decompressor
