"""A layer's bytes, decompressed and hashed ahead of their reader.

The type of compression is told by the magic number (RFC 1952, RFC 8878), as every engine does it: media types are often
wrong. Decompressing and hashing release the interpreter's lock, so a thread does them while the caller writes files.
Output is bounded: a block at a time, a total, and a ratio to the input.
"""

import hashlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Final, NamedTuple, Protocol, cast

from rootless.errors import CorruptImage, InvalidInput
from rootless.images.archive_errors import PULL_AGAIN

BLOCK: Final = 1 << 20
_READ_AHEAD: Final = 4  # blocks
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE: Final = b"\x2a\x4d\x18"  # after a first byte 0x50-0x5f
_MAX_ZSTD_WINDOW: Final = 128 << 20  # what `zstd --long` makes; RFC 8878 lets decoders set a limit


class Limits(NamedTuple):
    """Bounds of one layer, against decompression bombs and tars that never end."""

    total_bytes: int = 256 << 30  # decompressed
    ratio: int = 1000  # of output to input, looked at after the first GiB
    members: int = 16_000_000


_VARIABLES: Final = {"total_bytes": "RL_LAYER_MAX_BYTES", "ratio": "RL_LAYER_MAX_RATIO", "members": "RL_LAYER_MAX_FILES"}


def limits_from(environ: Mapping[str, str]) -> Limits:
    """Return the limits that RL_LAYER_MAX_BYTES, RL_LAYER_MAX_RATIO and RL_LAYER_MAX_FILES set. Raises `InvalidInput`."""
    given: dict[str, int] = {}
    for field, variable in _VARIABLES.items():
        text = environ.get(variable, "")
        if text and not (text.isascii() and text.isdecimal() and len(text) < 19 and int(text)):
            raise InvalidInput(f"{variable} is {text!r:.60}", "give a whole number above 0")
        if text:
            given[field] = int(text)
    return Limits(**given)


class Source(Protocol):
    """Where compressed bytes come from."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end."""


class HashedBlocks:
    """Iterates over a layer's decompressed blocks, made by a thread; `digest()` afterwards is the diff ID.

    Use as a context manager: leaving it ends the thread. Errors of the source and of decompression are raised to the
    reader.
    """

    def __init__(self, source: Source, limits: Limits) -> None:
        self._hash = hashlib.sha256()
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(_READ_AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._produce, args=(source, limits), daemon=True)

    def __enter__(self) -> "HashedBlocks":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.01)  # makes room, so that a waiting producer sees that it shall stop
            except queue.Empty:
                continue
        self._thread.join()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            block = self._queue.get()
            if block is None:
                return
            if isinstance(block, BaseException):
                raise block
            yield block

    def digest(self) -> str:
        """Return the digest of all blocks; to be called when the iteration has ended."""
        return f"sha256:{self._hash.hexdigest()}"

    def _produce(self, source: Source, limits: Limits) -> None:
        try:
            for block in decompressed(source, limits):
                if self._stopped.is_set():
                    return
                self._queue.put(block)
                self._hash.update(block)
            self._queue.put(None)
        except BaseException as error:  # raised again in the reader's thread
            self._queue.put(error)


def decompressed(source: Source, limits: Limits) -> Iterator[bytes]:
    """Yield the decompressed blocks of gzip, zstd or plain data. Raises `CorruptImage` when it is broken or out of bounds."""
    counted = _Counted(source)
    first = counted.read(BLOCK)
    produced = 0
    for block in _decoder_for(first)(first, counted):
        produced += len(block)
        if produced > limits.total_bytes or (produced > 1 << 30 and produced > limits.ratio * counted.count):
            raise CorruptImage(
                f"the layer grows from {counted.count} to more than {produced} bytes: a decompression bomb",
                f"the limits are {limits.total_bytes} bytes in all and {limits.ratio} times the compressed size; "
                "RL_LAYER_MAX_BYTES and RL_LAYER_MAX_RATIO set others",
            )
        yield block


def is_compressed(first: bytes) -> bool:
    """Tell whether data that begins like this is in a form that layers may have: gzip or zstd."""
    return _decoder_for(first) is not _plain


class _Counted:
    """Counts what is read from a source."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.count = 0

    def read(self, size: int = BLOCK) -> bytes:
        data = self._source.read(size)
        self.count += len(data)
        return data


def _decoder_for(first: bytes) -> Callable[[bytes, _Counted], Iterator[bytes]]:
    if first.startswith(_GZIP):
        return _gunzip
    if first.startswith(_ZSTD) or (first[1:4] == _ZSTD_SKIPPABLE and first[0] & 0xF0 == 0x50):
        return _unzstd
    return _plain


def _plain(first: bytes, source: _Counted) -> Iterator[bytes]:
    block = first
    while block:
        yield block
        block = source.read(BLOCK)


def _gunzip(first: bytes, source: _Counted) -> Iterator[bytes]:
    """All members of a gzip file; zeros after the last are padding."""
    from isal import igzip_lib  # only for gzip layers: 3 ms

    broken = cast("type[Exception]", igzip_lib.IsalError)
    pending = first
    while pending:
        decompressor: Any = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        try:
            while not decompressor.eof:
                if decompressor.needs_input and not pending:
                    pending = source.read(BLOCK)
                    if not pending:
                        raise CorruptImage("the layer's gzip data ends in the middle", PULL_AGAIN)
                block = decompressor.decompress(pending, BLOCK)
                pending = b""
                if block:
                    yield block
        except broken as error:
            raise CorruptImage(f"the layer's gzip data is broken: {error}") from error
        pending = (decompressor.unused_data or source.read(BLOCK)).lstrip(b"\0")
        while not pending and (more := source.read(BLOCK)):
            pending = more.lstrip(b"\0")


def _unzstd(first: bytes, source: _Counted) -> Iterator[bytes]:
    """All frames of a zstd file."""
    import zstandard  # only for zstd layers: 5 ms

    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW)
    try:
        reader = decompressor.stream_reader(cast("IO[bytes]", _Rejoined(first, source)), read_size=BLOCK, read_across_frames=True)
        while block := reader.read(BLOCK):
            yield block
    except zstandard.ZstdError as error:
        raise CorruptImage(f"the layer's zstd data is broken: {error}") from error


class _Rejoined:
    """A source whose first block has been read already."""

    def __init__(self, first: bytes, source: _Counted) -> None:
        self._first = first
        self._source = source

    def read(self, size: int = BLOCK) -> bytes:
        if self._first:
            data, self._first = self._first[:size], self._first[size:]
            return data
        return self._source.read(size)
